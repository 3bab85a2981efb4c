# The CUDA half of the engine: every native/**/*.cu, compiled by nvcc (selfrefine_cuda) or by the C++ compiler over the
# simulation header (selfrefine_cuda_sim), with the parts of the core that ops need.
file(GLOB_RECURSE CUDA_SOURCES CONFIGURE_DEPENDS native/*.cu)
if(NOT CUDA_SOURCES)
  return()
endif()
file(GLOB CUDA_CORE_SOURCES CONFIGURE_DEPENDS native/core/*.cpp native/kernels/*/op.cpp)
list(APPEND CUDA_CORE_SOURCES native/kernels/check.cpp native/kernels/indices.cpp)

# nvcc is also looked for where its installers put it, PATH or not.
function(find_cuda_compiler)
  if(CMAKE_CUDA_COMPILER OR DEFINED ENV{CUDACXX})
    return()
  endif()
  find_program(SELFREFINE_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin PATHS /usr/local/cuda/bin)
  if(SELFREFINE_NVCC)
    set(CMAKE_CUDA_COMPILER ${SELFREFINE_NVCC} CACHE FILEPATH "nvcc")
  endif()
endfunction()

if(SELFREFINE_SANITIZE)
  set(SELFREFINE_CUDA OFF) # nvcc's output is not instrumented; the simulation is
endif()
# Minutes of nvcc are only spent where a GPU can use them, unless they are asked for.
if(SELFREFINE_CUDA STREQUAL "AUTO" AND NOT EXISTS /proc/driver/nvidia/version AND NOT EXISTS /dev/dxg)
  message(STATUS "selfrefine: no NVIDIA driver, the build has no CUDA backend; SELFREFINE_CUDA=ON builds it anyway")
  set(SELFREFINE_CUDA OFF)
endif()
if(NOT SELFREFINE_CUDA STREQUAL "OFF")
  set(CMAKE_CUDA_ARCHITECTURES OFF) # the -gencode flags below are ours: CMake knows no 90a everywhere
  find_cuda_compiler()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    message(STATUS "selfrefine: CUDA ${CMAKE_CUDA_COMPILER_VERSION} for ${SELFREFINE_CUDA_ARCHITECTURES}")
  elseif(SELFREFINE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "SELFREFINE_CUDA=ON, but no working nvcc was found; install the CUDA toolkit or set CUDACXX")
  else()
    message(STATUS "selfrefine: no CUDA compiler, the build has no CUDA backend")
  endif()
endif()

if(CMAKE_CUDA_COMPILER AND NOT SELFREFINE_CUDA STREQUAL "OFF")
  set(GENCODE "")
  if(SELFREFINE_CUDA_REPORT) # the PTX of each architecture lies readable in the objects
    set(GENCODE -Xptxas=-v --no-compress)
  endif()
  foreach(ARCHITECTURE IN LISTS SELFREFINE_CUDA_ARCHITECTURES)
    set(CODE sm_${ARCHITECTURE})
    if(SELFREFINE_CUDA_REPORT)
      set(CODE "[sm_${ARCHITECTURE},compute_${ARCHITECTURE}]")
    endif()
    list(APPEND GENCODE "SHELL:-gencode arch=compute_${ARCHITECTURE},code=${CODE}")
    if(NOT ARCHITECTURE MATCHES "[af]$")
      set(PLAIN_ARCHITECTURE ${ARCHITECTURE})
    endif()
  endforeach()
  if(PLAIN_ARCHITECTURE AND NOT SELFREFINE_CUDA_REPORT) # for GPUs newer than the list
    list(APPEND GENCODE "SHELL:-gencode arch=compute_${PLAIN_ARCHITECTURE},code=compute_${PLAIN_ARCHITECTURE}")
  endif()
  add_library(selfrefine_cuda MODULE ${CUDA_SOURCES} ${CUDA_CORE_SOURCES})
  target_include_directories(selfrefine_cuda PRIVATE native)
  target_compile_features(selfrefine_cuda PRIVATE cxx_std_20)
  target_compile_options(selfrefine_cuda PRIVATE
    "$<$<COMPILE_LANGUAGE:CXX>:-O3;-Wall;-Wextra>"
    "$<$<COMPILE_LANGUAGE:CUDA>:-O3;-std=c++20;-lineinfo;-Xcompiler=-Wall;${GENCODE}>")
  if("90a" IN_LIST SELFREFINE_CUDA_ARCHITECTURES) # else GPUs of 9.0 get PTX without Hopper's own instructions
    target_compile_definitions(selfrefine_cuda PRIVATE SELFREFINE_SM90A)
  endif()
  set_target_properties(selfrefine_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static)
  target_link_options(selfrefine_cuda PRIVATE -Wl,--exclude-libs,ALL)
  target_link_libraries(selfrefine_cuda PRIVATE ${CMAKE_DL_LIBS})
endif()

# A file's language cannot be both, so each .cu is compiled for the simulation through a file that includes it.
set(SIM_SOURCES "")
foreach(SOURCE IN LISTS CUDA_SOURCES)
  file(RELATIVE_PATH NAME ${CMAKE_CURRENT_SOURCE_DIR}/native ${SOURCE})
  string(REPLACE "/" "_" NAME ${NAME})
  set(WRAPPER ${CMAKE_CURRENT_BINARY_DIR}/sim/${NAME}.cpp)
  file(CONFIGURE OUTPUT ${WRAPPER} CONTENT "#include \"${SOURCE}\"\n")
  get_source_file_property(DEFINITIONS ${SOURCE} COMPILE_DEFINITIONS)
  if(DEFINITIONS)
    set_source_files_properties(${WRAPPER} PROPERTIES COMPILE_DEFINITIONS "${DEFINITIONS}")
  endif()
  list(APPEND SIM_SOURCES ${WRAPPER})
endforeach()
file(GLOB SIM_RUNTIME CONFIGURE_DEPENDS native/cuda/sim/*.cpp)
if(SELFREFINE_SANITIZE STREQUAL "THREAD") # the simulation's own state is not part of the program under test
  set_source_files_properties(${SIM_RUNTIME} PROPERTIES COMPILE_OPTIONS
    "-fno-sanitize=thread;-fno-tree-loop-distribute-patterns")
endif()
list(APPEND SIM_RUNTIME native/cpu/thread_pool.cpp native/cpu/cpu_features.cpp)
add_library(selfrefine_cuda_sim_objects OBJECT EXCLUDE_FROM_ALL ${SIM_SOURCES} ${SIM_RUNTIME} ${CUDA_CORE_SOURCES})
target_link_libraries(selfrefine_cuda_sim_objects PUBLIC selfrefine_flags)
target_compile_options(selfrefine_cuda_sim_objects PRIVATE -Wno-unknown-pragmas -Wno-misleading-indentation)
add_library(selfrefine_cuda_sim MODULE EXCLUDE_FROM_ALL $<TARGET_OBJECTS:selfrefine_cuda_sim_objects>)
target_link_libraries(selfrefine_cuda_sim PRIVATE selfrefine_flags)

# The same objects as a program that runs the kernel tests' cases and planted errors, for the sanitizers.
file(GLOB CHECK_SOURCES CONFIGURE_DEPENDS test/cuda/check.cpp test/cuda/cases.cpp test/cuda/coverage.cpp
  test/cuda/planted*.cpp)
if(CHECK_SOURCES)
  file(GLOB REFERENCE_SOURCES CONFIGURE_DEPENDS native/kernels/reference.cpp native/kernels/*/reference.cpp)
  add_executable(selfrefine_cuda_check EXCLUDE_FROM_ALL ${CHECK_SOURCES} ${REFERENCE_SOURCES}
    native/engine/batch.cpp native/model/arena.cpp)
  target_link_libraries(selfrefine_cuda_check PRIVATE selfrefine_cuda_sim_objects)
  target_compile_options(selfrefine_cuda_check PRIVATE -Wno-unknown-pragmas)
  set_target_properties(selfrefine_cuda_check PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
endif()

# What stands for NVIDIA's cuBLASLt beside the simulation. A source tree without tests has none.
set(CUBLASLT_SIM_SOURCE ${CMAKE_CURRENT_SOURCE_DIR}/test/cuda/cublaslt.cpp)
if(EXISTS ${CUBLASLT_SIM_SOURCE})
  add_library(selfrefine_cublaslt_sim MODULE EXCLUDE_FROM_ALL ${CUBLASLT_SIM_SOURCE})
  target_link_libraries(selfrefine_cublaslt_sim PRIVATE selfrefine_flags)
  add_dependencies(selfrefine_cuda_sim selfrefine_cublaslt_sim)
endif()
