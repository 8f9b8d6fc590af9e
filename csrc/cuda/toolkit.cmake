# Decides whether _cuda is built (LMF_WITH_CUDA), for which architectures (LMF_CMAKE_CUDA_ARCHS; in words, with nvcc's
# version: LMF_CUDA_PLAN), and what a wheel of it adds to the version (LMF_LOCAL_VERSION). Both texts are empty without
# CUDA. Enables no language.
include(CheckLanguage)
include(${CMAKE_CURRENT_LIST_DIR}/architectures.cmake)

set(LMF_WITH_CUDA OFF)
set(LMF_LOCAL_VERSION "")
set(LMF_CUDA_PLAN "")
string(TOUPPER "${LMF_BUILD_CUDA}" LMF_CUDA_WISH)
if(NOT LMF_CUDA_WISH MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "LMF_BUILD_CUDA is \"${LMF_BUILD_CUDA}\"; give AUTO, ON or OFF.")
endif()
if(LMF_CUDA_WISH STREQUAL OFF)
  return()
endif()

# nvcc is looked for where the user says (-DCMAKE_CUDA_COMPILER, CUDACXX, CUDA_HOME, CUDA_PATH, PATH) and nowhere else:
# CMake itself would also try folders such as /usr/local/bin, and a toolkit could not be hidden.
if(NOT CMAKE_CUDA_COMPILER)
  unset(CMAKE_CUDA_COMPILER CACHE)  # a kept build folder may remember that there was none
  find_program(nvcc nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATH_SUFFIXES bin NO_CMAKE_SYSTEM_PATH NO_CACHE)
  if(nvcc AND NOT DEFINED ENV{CUDACXX})
    set(ENV{CUDACXX} ${nvcc})
  endif()
endif()
if(CMAKE_CUDA_COMPILER OR DEFINED ENV{CUDACXX})
  check_language(CUDA)
endif()

if(NOT CMAKE_CUDA_COMPILER)
  if(LMF_CUDA_WISH STREQUAL ON)
    if(nvcc)
      message(FATAL_ERROR "LMF_BUILD_CUDA is ON but ${nvcc} does not compile a test program here; see CMakeError.log "
        "or CMakeConfigureLog.yaml in ${CMAKE_BINARY_DIR}, or set LMF_BUILD_CUDA=OFF.")
    endif()
    message(FATAL_ERROR "LMF_BUILD_CUDA is ON but no nvcc was found; put the CUDA toolkit's bin folder on PATH or set "
      "CUDA_HOME, or build without CUDA by LMF_BUILD_CUDA=OFF (or AUTO).")
  endif()
  if(nvcc)
    message(WARNING "${nvcc} does not compile a test program here: building without lmf_kernels._cuda.")
  else()
    message(STATUS "No nvcc: building without lmf_kernels._cuda")
  endif()
  return()
endif()

execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-code OUTPUT_VARIABLE codes OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[0-9]+[af]?" codes "${codes}")
lmf_cuda_architectures("${LMF_CUDA_ARCHS}" "${codes}" LMF_CMAKE_CUDA_ARCHS names)
lmf_cuda_architectures("" "${codes}" unused default_names)
execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE said COMMAND_ERROR_IS_FATAL ANY)
if(NOT said MATCHES "release ([0-9]+\\.[0-9]+)")
  message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} --version names no release: is it nvcc?")
endif()
set(release ${CMAKE_MATCH_1})
lmf_cuda_local_version("${release}" "${names}" "${default_names}" LMF_LOCAL_VERSION)
set(LMF_WITH_CUDA ON)
list(JOIN names " " names)
set(LMF_CUDA_PLAN "nvcc ${release} for ${names}")
message(STATUS "Building lmf_kernels._cuda by ${LMF_CUDA_PLAN}")
