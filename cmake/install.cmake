# Program, both libraries, header, man page, completion, pkg-config file, find_package(netgaze).
include(CMakePackageConfigHelpers)

if(TARGET netgaze)
  install(TARGETS netgaze RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(TARGETS netgaze_shared netgaze_static EXPORT netgaze
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/netgaze/netgaze.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/netgaze)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_file(cmake/netgaze.pc.in netgaze.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/netgaze.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(EXPORT netgaze NAMESPACE netgaze:: FILE netgaze-targets.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/netgaze)
configure_package_config_file(cmake/netgaze-config.cmake.in netgaze-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/netgaze)
write_basic_package_version_file(netgaze-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/netgaze-config.cmake ${PROJECT_BINARY_DIR}/netgaze-config-version.cmake
        cmake/dnnl.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/netgaze)

if(TARGET netgaze)
  add_custom_command(OUTPUT netgaze.1 COMMAND netgaze man > netgaze.1 DEPENDS netgaze)
  add_custom_command(OUTPUT netgaze.bash COMMAND netgaze completion bash > netgaze.bash DEPENDS netgaze)
  add_custom_target(manual ALL DEPENDS netgaze.1 netgaze.bash)
  install(FILES ${PROJECT_BINARY_DIR}/netgaze.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${PROJECT_BINARY_DIR}/netgaze.bash RENAME netgaze
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
endif()
