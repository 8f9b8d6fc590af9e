# Converts GPU architectures between three forms: what users write, what CMake takes ("80-real;120-virtual"), and the
# names in CUDA's tools ("sm_80" for machine code, "compute_120" for PTX).

# lmf_cuda_architectures(<requested> <known> <cmake out> <names out>)
#
# requested: architectures separated by semicolons, commas or spaces. Each is "90", "9.0" or "90a", followed by "+PTX"
#   to build its PTX too, which later GPUs can compile. Only these are built. Empty: those of 80, 86, 89, 90, 100 and
#   120 that this nvcc supports, and the PTX of the last one.
# known: the architectures that nvcc supports, as numbers.
function(lmf_cuda_architectures requested known cmake_out names_out)
  string(REGEX REPLACE "[;, ]+" ";" requested "${requested}")
  list(REMOVE_ITEM requested "")
  if(NOT requested)
    foreach(arch 80 86 89 90 100 120)
      if(arch IN_LIST known)
        list(APPEND requested ${arch})
      endif()
    endforeach()
    list(GET requested -1 last)
    list(APPEND requested ${last}+PTX)
  endif()
  set(real "")
  set(virtual "")
  foreach(item IN LISTS requested)
    string(REGEX MATCH "^([0-9]+)(\\.([0-9]))?([af]?)(\\+PTX)?$" form "${item}")
    set(number ${CMAKE_MATCH_1}${CMAKE_MATCH_3})
    set(suffix "${CMAKE_MATCH_4}")
    set(ptx "${CMAKE_MATCH_5}")
    if(form STREQUAL "" OR (suffix STREQUAL a AND number LESS 90) OR (suffix STREQUAL f AND number LESS 100))
      message(FATAL_ERROR "\"${item}\" is not a GPU architecture. Set LMF_CUDA_ARCHS or TORCH_CUDA_ARCH_LIST to "
        "numbers such as 80, 9.0 or 90a, followed by +PTX to build PTX too.")
    endif()
    if(number LESS 80)
      message(FATAL_ERROR "The kernels need GPU architecture 80 or newer, but \"${item}\" is older. Remove it from "
        "TORCH_CUDA_ARCH_LIST, or set LMF_CUDA_ARCHS, which has precedence.")
    endif()
    if(NOT number IN_LIST known)
      list(JOIN known " " allowed)
      message(FATAL_ERROR "This nvcc does not compile for GPU architecture \"${item}\". It supports ${allowed}. Change "
        "LMF_CUDA_ARCHS or TORCH_CUDA_ARCH_LIST, or use another CUDA toolkit.")
    endif()
    list(APPEND real ${number}${suffix}-real)
    if(ptx)
      list(APPEND virtual ${number}${suffix}-virtual)
    endif()
  endforeach()
  list(SORT real COMPARE NATURAL)
  list(SORT virtual COMPARE NATURAL)
  set(archs ${real} ${virtual})
  list(REMOVE_DUPLICATES archs)
  set(${cmake_out} ${archs} PARENT_SCOPE)
  lmf_cuda_names("${archs}" names)
  set(${names_out} ${names} PARENT_SCOPE)
endfunction()

# lmf_cuda_names("80-real;120-virtual" out) sets out to "sm_80;compute_120".
function(lmf_cuda_names archs out)
  list(TRANSFORM archs REPLACE "^(.+)-real$" "sm_\\1")
  list(TRANSFORM archs REPLACE "^(.+)-virtual$" "compute_\\1")
  set(${out} ${archs} PARENT_SCOPE)
endfunction()

# lmf_cuda_exact("80-real;90-real" "90a" out) sets out to "80-real;90a-real": the machine code for 90a replaces that for
# 90. An architecture that was not requested is not added.
function(lmf_cuda_exact archs exact out)
  foreach(arch IN LISTS exact)
    string(REGEX REPLACE "[af]$" "" number "${arch}")
    list(TRANSFORM archs REPLACE "^${number}-real$" "${arch}-real")
  endforeach()
  list(REMOVE_DUPLICATES archs)
  set(${out} ${archs} PARENT_SCOPE)
endfunction()

# lmf_cuda_generate("80-real;86-real;90-real;90-virtual" out): what nvcc is told to make these. Machine code for compute
# capabilities 8.x comes from the PTX of the oldest of them, whose making is the longer half of compiling: no source
# tells them apart.
function(lmf_cuda_generate archs out)
  set(flags "")
  set(eights ${archs})
  list(FILTER eights INCLUDE REGEX "^8[0-9]-real$")
  if(eights)
    list(TRANSFORM eights REPLACE "-real$" "" OUTPUT_VARIABLE numbers)
    list(GET numbers 0 oldest)
    list(TRANSFORM numbers PREPEND sm_)
    list(JOIN numbers "," codes)
    list(APPEND flags "--generate-code=arch=compute_${oldest},code=[${codes}]")
    list(REMOVE_ITEM archs ${eights})
  endif()
  foreach(arch IN LISTS archs)
    string(REGEX REPLACE "-.*" "" number "${arch}")
    lmf_cuda_names("${arch}" name)
    list(APPEND flags "--generate-code=arch=compute_${number},code=${name}")
  endforeach()
  set(${out} ${flags} PARENT_SCOPE)
endfunction()

# lmf_cuda_local_version(<release> <names> <default names> <out>)
#
# The local part of a wheel's version: "cu130.sm80.sm90.ptx90" for CUDA 13.0, or only "cu130" for the default set.
function(lmf_cuda_local_version release names default_names out)
  string(REPLACE "." "" release "${release}")
  set(parts cu${release})
  if(NOT names STREQUAL default_names)
    list(TRANSFORM names REPLACE "^sm_" "sm")
    list(TRANSFORM names REPLACE "^compute_" "ptx")
    list(APPEND parts ${names})
  endif()
  list(JOIN parts "." version)
  set(${out} ${version} PARENT_SCOPE)
endfunction()
