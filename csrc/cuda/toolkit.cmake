# Decides whether _cuda is built (LMF_WITH_CUDA) and for which architectures (LMF_CMAKE_CUDA_ARCHS; as text, with nvcc's
# version: LMF_CUDA_PLAN), and the local part of the wheel's version (LMF_LOCAL_VERSION). Both texts are empty without
# CUDA. Enables no language.
include(CheckLanguage)
include(${CMAKE_CURRENT_LIST_DIR}/architectures.cmake)

set(LMF_WITH_CUDA OFF)
set(LMF_LOCAL_VERSION "")
set(LMF_CUDA_PLAN "")
string(TOUPPER "${LMF_BUILD_CUDA}" LMF_CUDA_MODE)
if(NOT LMF_CUDA_MODE MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "LMF_BUILD_CUDA is \"${LMF_BUILD_CUDA}\". Set it to AUTO, ON or OFF.")
endif()
if(LMF_CUDA_MODE STREQUAL OFF)
  return()
endif()

# nvcc is searched for only where the user can set it: -DCMAKE_CUDA_COMPILER, CUDACXX, CUDA_HOME, CUDA_PATH and PATH.
# CMake's own search would also try folders such as /usr/local/bin, so a toolkit could not be hidden.
if(NOT CMAKE_CUDA_COMPILER)
  unset(CMAKE_CUDA_COMPILER CACHE)  # an existing build folder may have cached that there is none
  find_program(nvcc nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATH_SUFFIXES bin NO_CMAKE_SYSTEM_PATH NO_CACHE)
  if(nvcc AND NOT DEFINED ENV{CUDACXX})
    set(ENV{CUDACXX} ${nvcc})
  endif()
endif()
if(CMAKE_CUDA_COMPILER OR DEFINED ENV{CUDACXX})
  check_language(CUDA)
endif()

if(NOT CMAKE_CUDA_COMPILER)
  if(LMF_CUDA_MODE STREQUAL ON)
    if(nvcc)
      message(FATAL_ERROR "LMF_BUILD_CUDA is ON but ${nvcc} fails to compile a test program. See CMakeError.log or "
        "CMakeConfigureLog.yaml in ${CMAKE_BINARY_DIR}, or set LMF_BUILD_CUDA=OFF.")
    endif()
    message(FATAL_ERROR "LMF_BUILD_CUDA is ON but no nvcc was found. Add the bin folder of the CUDA toolkit to PATH or "
      "set CUDA_HOME, or build without CUDA with LMF_BUILD_CUDA=OFF (or AUTO).")
  endif()
  if(nvcc)
    message(WARNING "${nvcc} fails to compile a test program: building without lmf_kernels._cuda.")
  else()
    message(STATUS "No nvcc found: building without lmf_kernels._cuda")
  endif()
  return()
endif()

execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-code OUTPUT_VARIABLE codes OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[0-9]+[af]?" codes "${codes}")
lmf_cuda_architectures("${LMF_CUDA_ARCHS}" "${codes}" LMF_CMAKE_CUDA_ARCHS names)
lmf_cuda_architectures("" "${codes}" unused default_names)
execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE version_text COMMAND_ERROR_IS_FATAL ANY)
if(NOT version_text MATCHES "release ([0-9]+\\.[0-9]+)")
  message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} --version prints no release. Is it nvcc?")
endif()
set(release ${CMAKE_MATCH_1})
lmf_cuda_local_version("${release}" "${names}" "${default_names}" LMF_LOCAL_VERSION)
set(LMF_WITH_CUDA ON)
list(JOIN names " " names)
set(LMF_CUDA_PLAN "nvcc ${release} for ${names}")
message(STATUS "Building lmf_kernels._cuda by ${LMF_CUDA_PLAN}")
