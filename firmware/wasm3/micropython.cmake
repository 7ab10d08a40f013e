# wasm3 as a user C module for the ports that are built with CMake (rp2, esp32): USER_C_MODULES is this file.
if(NOT WASM3_SOURCE)
    message(FATAL_ERROR "set WASM3_SOURCE to the folder wasm3 of pywasm3 0.5.0, unpacked; see firmware/README.md")
endif()

add_library(usermod_wasm3 INTERFACE)
target_sources(usermod_wasm3 INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/modwasm3.c
    ${CMAKE_CURRENT_LIST_DIR}/interpreter.c
)
target_include_directories(usermod_wasm3 INTERFACE ${CMAKE_CURRENT_LIST_DIR} ${WASM3_SOURCE})
# The interpreter is as fast as its tail calls: not -Os. Its warnings are not ours.
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/interpreter.c PROPERTIES
    COMPILE_OPTIONS "-O3;-fomit-frame-pointer;-fno-stack-protector;-w"
)
target_link_libraries(usermod INTERFACE usermod_wasm3)
