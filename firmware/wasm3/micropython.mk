# wasm3 as a user C module for the ports that are built with make: USER_C_MODULES is the folder above this one.
WASM3_MODULE := $(USERMOD_DIR)
# The folder of wasm3's own sources, in pywasm3's source distribution.
WASM3_SOURCE ?= $(error set WASM3_SOURCE to the folder wasm3 of pywasm3 0.5.0, unpacked; see firmware/README.md)
# The interpreter is as fast as its tail calls: not -Os.
WASM3_COPT ?= -O3

SRC_USERMOD_C += $(WASM3_MODULE)/modwasm3.c
# Sources of others: no look for names, no warnings of ours.
SRC_USERMOD_LIB_C += $(WASM3_MODULE)/interpreter.c
CFLAGS_USERMOD += -I$(WASM3_MODULE) -I$(WASM3_SOURCE) $(WASM3_CFLAGS)
$(BUILD)/wasm3/interpreter.o: CFLAGS += $(WASM3_COPT) -fomit-frame-pointer -fno-stack-protector -w
