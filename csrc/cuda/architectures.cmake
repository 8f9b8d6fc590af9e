# GPU architectures as users write them, as CMake wants them ("80-real;120-virtual") and as CUDA's tools name them
# ("sm_80;compute_120": machine code, PTX).

# lmf_cuda_architectures(<wanted> <known> <cmake out> <names out>)
#
# wanted: architectures split by semicolons, commas or spaces, each "90", "9.0" or "90a", with "+PTX" behind it where
# its PTX is wanted too (which later GPUs compile for themselves). Exactly these are built. Empty: all of 80, 86, 89,
# 90, 100, 120 that this nvcc knows, and the PTX of the last.
# known: what nvcc compiles for, as numbers.
function(lmf_cuda_architectures wanted known cmake_out names_out)
  string(REGEX REPLACE "[;, ]+" ";" wanted "${wanted}")
  list(REMOVE_ITEM wanted "")
  if(NOT wanted)
    foreach(arch 80 86 89 90 100 120)
      if(arch IN_LIST known)
        list(APPEND wanted ${arch})
      endif()
    endforeach()
    list(GET wanted -1 last)
    list(APPEND wanted ${last}+PTX)
  endif()
  set(real "")
  set(virtual "")
  foreach(item IN LISTS wanted)
    string(REGEX MATCH "^([0-9]+)(\\.([0-9]))?([af]?)(\\+PTX)?$" form "${item}")
    set(number ${CMAKE_MATCH_1}${CMAKE_MATCH_3})
    set(suffix "${CMAKE_MATCH_4}")
    set(ptx "${CMAKE_MATCH_5}")
    if(form STREQUAL "" OR (suffix STREQUAL a AND number LESS 90) OR (suffix STREQUAL f AND number LESS 100))
      message(FATAL_ERROR "\"${item}\" is no GPU architecture; give numbers such as 80, 9.0 or 90a, with +PTX behind "
        "those whose PTX is wanted, in LMF_CUDA_ARCHS or TORCH_CUDA_ARCH_LIST.")
    endif()
    if(number LESS 80)
      message(FATAL_ERROR "the kernels need GPU architecture 80 or newer, \"${item}\" is older: leave it out of "
        "TORCH_CUDA_ARCH_LIST, or set LMF_CUDA_ARCHS, which goes first.")
    endif()
    if(NOT number IN_LIST known)
      list(JOIN known " " allowed)
      message(FATAL_ERROR "this nvcc does not compile for GPU architecture \"${item}\"; it knows ${allowed}: change "
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

# lmf_cuda_names("80-real;120-virtual" out) gives "sm_80;compute_120".
function(lmf_cuda_names archs out)
  list(TRANSFORM archs REPLACE "^(.+)-real$" "sm_\\1")
  list(TRANSFORM archs REPLACE "^(.+)-virtual$" "compute_\\1")
  set(${out} ${archs} PARENT_SCOPE)
endfunction()

# lmf_cuda_exact("80-real;90-real" "90a" out) gives "80-real;90a-real": the machine code of 90 becomes that of 90a.
# What was not asked for stays out.
function(lmf_cuda_exact archs exact out)
  foreach(arch IN LISTS exact)
    string(REGEX REPLACE "[af]$" "" number "${arch}")
    list(TRANSFORM archs REPLACE "^${number}-real$" "${arch}-real")
  endforeach()
  list(REMOVE_DUPLICATES archs)
  set(${out} ${archs} PARENT_SCOPE)
endfunction()

# lmf_cuda_local_version(<release> <names> <default names> <out>)
#
# What a wheel adds to its version: "cu130.sm80.sm90.ptx90" for CUDA 13.0, and only "cu130" for the default set.
function(lmf_cuda_local_version release names default_names out)
  string(REPLACE "." "" release "${release}")
  set(words cu${release})
  if(NOT names STREQUAL default_names)
    list(TRANSFORM names REPLACE "^sm_" "sm")
    list(TRANSFORM names REPLACE "^compute_" "ptx")
    list(APPEND words ${names})
  endif()
  list(JOIN words "." words)
  set(${out} ${words} PARENT_SCOPE)
endfunction()
