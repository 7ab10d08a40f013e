/* count_vowels(): an Extism plug-in that counts the vowels of its input and answers in JSON; nothing to count is an
   error. Extism's own functions are declared here, so no development kit is needed. */
#include <stdint.h>

#define EXTISM(name) __attribute__((import_module("extism:host/env"), import_name(#name)))

EXTISM(input_length) uint64_t input_length(void);
EXTISM(input_load_u8) uint32_t input_load_u8(uint64_t at);
EXTISM(alloc) uint64_t alloc(uint64_t length);
EXTISM(store_u8) void store_u8(uint64_t at, uint32_t byte);
EXTISM(output_set) void output_set(uint64_t at, uint64_t length);
EXTISM(error_set) void error_set(uint64_t at);

static uint64_t at, length;

static void begin(uint64_t most) {
    at = alloc(most);
    length = 0;
}

static void put(const char *from) {
    while (*from) store_u8(at + length++, (uint8_t)*from++);
}

static void put_number(uint64_t number) {
    char digits[21] = {0};
    int first = sizeof digits - 1;
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    put(digits + first);
}

static int is_vowel(uint32_t letter) {
    for (const char *vowel = "aeiouAEIOU"; *vowel; vowel++)
        if (letter == (uint8_t)*vowel) return 1;
    return 0;
}

__attribute__((export_name("count_vowels"))) int32_t count_vowels(void) {
    static const char nothing[] = "there is nothing to count";
    uint64_t letters = input_length(), vowels = 0;
    if (letters == 0) {
        begin(sizeof nothing - 1);
        put(nothing);
        error_set(at);
        return 1;
    }
    for (uint64_t i = 0; i < letters; i++) vowels += is_vowel(input_load_u8(i));
    begin(64);
    put("{\"vowels\": ");
    put_number(vowels);
    put(", \"length\": ");
    put_number(letters);
    put("}");
    output_set(at, length);
    return 0;
}
