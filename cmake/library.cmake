# ng_folder(name DEPENDS folder... FOREIGN target...): the static library of src/<name>.
function(ng_folder name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;FOREIGN" ${ARGN})
  string(REPLACE "/" "_" target ngi_${name})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.c)
  if(NOT sources)
    return()
  endif()
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  foreach(dep ${ARG_DEPENDS})
    string(REPLACE "/" "_" dep ngi_${dep})
    target_link_libraries(${target} PUBLIC ${dep})
  endforeach()
  target_link_libraries(${target} PRIVATE ${ARG_FOREIGN})
  set_property(GLOBAL APPEND PROPERTY NETGAZE_FOLDERS ${target})
endfunction()

# Lowest first. This list and scripts/check-layers.py say the same.
ng_folder(base FOREIGN m Threads::Threads PkgConfig::XXHASH)
ng_folder(tensor DEPENDS base FOREIGN m)
ng_folder(image DEPENDS tensor FOREIGN PkgConfig::VIPS PkgConfig::LIBDEFLATE m)
ng_folder(nn DEPENDS tensor FOREIGN m)
ng_folder(format DEPENDS nn FOREIGN PkgConfig::HDF5 PkgConfig::LIBZIP PkgConfig::JANSSON m)
ng_folder(exec/ref DEPENDS nn FOREIGN m)
ng_folder(exec/onednn DEPENDS nn FOREIGN DNNL::dnnl OpenMP::OpenMP_C m)
ng_folder(exec/native DEPENDS nn FOREIGN OpenMP::OpenMP_C m)
ng_folder(exec DEPENDS exec/ref exec/onednn exec/native FOREIGN m)
ng_folder(attr DEPENDS exec FOREIGN m)
ng_folder(viz DEPENDS image FOREIGN m)
ng_folder(metrics DEPENDS attr FOREIGN m)
ng_folder(data DEPENDS image nn FOREIGN m Threads::Threads)
ng_folder(train DEPENDS exec data FOREIGN m)
ng_folder(report DEPENDS metrics viz data FOREIGN m)
ng_folder(api DEPENDS attr viz format metrics data train report)

# The kernels are compiled once per instruction set and chosen at run time. Contraction into fused
# multiply-adds is what they are for.
set(kernels ${PROJECT_SOURCE_DIR}/src/exec/native)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_source_files_properties(${kernels}/kernels_avx512.c PROPERTIES
    COMPILE_OPTIONS "-mavx512f;-mavx512vl;-mavx512dq;-mavx512bw;-mfma;-O3;-ffp-contract=fast")
  set_source_files_properties(${kernels}/kernels_vnni.c PROPERTIES
    COMPILE_OPTIONS "-mavx512f;-mavx512vl;-mavx512dq;-mavx512bw;-mavx512vnni;-mfma;-O3;-ffp-contract=fast")
  set_source_files_properties(${kernels}/kernels_avx2.c PROPERTIES
    COMPILE_OPTIONS "-mavx2;-mfma;-O3;-ffp-contract=fast")
endif()
set_source_files_properties(${kernels}/kernels_plain.c PROPERTIES
  COMPILE_OPTIONS "-O3;-ftree-loop-vectorize;-ffp-contract=fast")

# Packed weights in the cache are of these very kernels: a build with others finds none (exec/packed.c).
file(GLOB kernel_files CONFIGURE_DEPENDS ${kernels}/*.[ch] ${PROJECT_SOURCE_DIR}/src/exec/onednn/*.[ch])
set(kernels_hash "")
foreach(f ${kernel_files})
  file(SHA256 ${f} hash)
  string(APPEND kernels_hash ${hash})
endforeach()
string(SHA256 kernels_hash "${kernels_hash}")
string(SUBSTRING "${kernels_hash}" 0 16 kernels_hash)
set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${kernel_files})
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/exec/packed.c PROPERTIES
  COMPILE_DEFINITIONS "NGI_KERNELS_HASH=\"${kernels_hash}\"")

# Square roots of vectors: nobody reads errno after them.
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/train/optimizer.c PROPERTIES COMPILE_OPTIONS "-fno-math-errno")

target_compile_definitions(ngi_api PRIVATE NETGAZE_BUILD_TYPE="${CMAKE_BUILD_TYPE}" NETGAZE_VIPS="${VIPS_VERSION}"
  NETGAZE_HDF5="${HDF5_VERSION}" NETGAZE_LIBZIP="${LIBZIP_VERSION}" NETGAZE_JANSSON="${JANSSON_VERSION}")

get_property(folders GLOBAL PROPERTY NETGAZE_FOLDERS)
set(objects)
foreach(f ${folders})
  list(APPEND objects $<TARGET_OBJECTS:${f}>)
endforeach()
set(foreign PkgConfig::VIPS PkgConfig::HDF5 PkgConfig::LIBZIP PkgConfig::JANSSON PkgConfig::XXHASH PkgConfig::LIBDEFLATE DNNL::dnnl OpenMP::OpenMP_C
    Threads::Threads m)

foreach(kind SHARED STATIC)
  string(TOLOWER ${kind} suffix)
  add_library(netgaze_${suffix} ${kind} ${objects})
  set_target_properties(netgaze_${suffix} PROPERTIES OUTPUT_NAME netgaze VERSION ${PROJECT_VERSION}
                        SOVERSION ${PROJECT_VERSION_MAJOR} EXPORT_NAME ${suffix})
  target_include_directories(netgaze_${suffix} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(netgaze_${suffix} PRIVATE ${foreign})
endforeach()
