/* What a module may ask of the edge that runs it: the import module `edge`, all i32; docs/abis.md.

   Pointers are addresses in the module's own memory; one that leaves it ends the task with `trap_oob`.
   sensor, gpio_read, gpio_write, adc and publish need an entry in the task's `allow`. */
#ifndef EDGE_H
#define EDGE_H

#include <stdint.h>

#define EDGE_IMPORT(name) __attribute__((import_module("edge"), import_name(#name)))
#define EDGE_EXPORT(name) __attribute__((export_name(#name)))

enum { EDGE_DEBUG, EDGE_INFO, EDGE_WARNING, EDGE_ERROR };

#ifdef __cplusplus
extern "C" {
#endif

/* The payload: the task's `stdin`, or its inputs. input_read copies at most `length` bytes from `offset` on and returns
   how many; input_byte returns one, or -1 behind the end. */
EDGE_IMPORT(input_len) int32_t edge_input_len(void);
EDGE_IMPORT(input_read) int32_t edge_input_read(void *to, int32_t offset, int32_t length);
EDGE_IMPORT(input_byte) int32_t edge_input_byte(int32_t index);

/* The result, in as many pieces as wanted; without any, the returned value is the result. output returns `length`. */
EDGE_IMPORT(output) int32_t edge_output(const void *from, int32_t length);
EDGE_IMPORT(output_byte) void edge_output_byte(int32_t byte);

/* A line for the task's log; level: EDGE_DEBUG to EDGE_ERROR. */
EDGE_IMPORT(log) void edge_log(int32_t level, const char *text, int32_t length);

/* Milliseconds since the attempt began. */
EDGE_IMPORT(millis) int32_t edge_millis(void);

/* Fills `length` bytes with what nobody can foresee, and returns `length`. */
EDGE_IMPORT(random) int32_t edge_random(void *to, int32_t length);

/* How far the task is, 0 to 1000; the same with a few words, cut after 256 characters. */
EDGE_IMPORT(progress) void edge_progress(int32_t permille);
EDGE_IMPORT(progress_message) void edge_progress_message(int32_t permille, const char *text, int32_t length);

/* 1 when the task is to stop: what it returns soon is kept. */
EDGE_IMPORT(cancelled) int32_t edge_cancelled(void);

/* Which attempt this is, from 1 on; the task's name, cut at `length` bytes: returns the length of the whole. */
EDGE_IMPORT(attempt) int32_t edge_attempt(void);
EDGE_IMPORT(task_name) int32_t edge_task_name(char *to, int32_t length);

/* A sensor's value in thousandths of its unit. */
EDGE_IMPORT(sensor) int32_t edge_sensor(int32_t channel);

/* Pins are 0 or 1; adc returns what the converter says. */
EDGE_IMPORT(gpio_read) int32_t edge_gpio_read(int32_t pin);
EDGE_IMPORT(gpio_write) void edge_gpio_write(int32_t pin, int32_t value);
EDGE_IMPORT(adc) int32_t edge_adc(int32_t channel);

/* A message for the hub; topic: 1 to 128 of A-Z a-z 0-9 . _ / - Returns `length`, or -1 when it is not sent. */
EDGE_IMPORT(publish) int32_t edge_publish(const char *topic, int32_t topic_length, const void *from, int32_t length);

#ifdef __cplusplus
}
#endif

#endif
