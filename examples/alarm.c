/* alarm(limit): reads sensor 0 and switches pin 2 on when it is above the limit, off when it is not. Both are in
   thousandths. Above the limit it also warns in the log and publishes the reading on `alarm`. The result is JSON.
   Needs `allow`: sensor:0, gpio_write:2, publish:alarm. */
#include "edge.h"

static char text[96];
static int length;

static void put(const char *from) {
    while (*from && length < (int)sizeof text) text[length++] = *from++;
}

static void put_thousandths(int32_t value) {
    char digits[16] = {0};
    int at = sizeof digits - 1, places = 0;
    uint32_t rest = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    while (rest || places < 4) {
        if (places == 3) digits[--at] = '.';
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
        places++;
    }
    if (value < 0) digits[--at] = '-';
    put(digits + at);
}

EDGE_EXPORT(alarm) int32_t alarm(int32_t limit) {
    static const char warning[] = "above the limit", topic[] = "alarm";
    int32_t reading = edge_sensor(0), hot = reading > limit;
    put("{\"reading\": ");
    put_thousandths(reading);
    put(", \"limit\": ");
    put_thousandths(limit);
    put(hot ? ", \"alarm\": true}" : ", \"alarm\": false}");
    edge_gpio_write(2, hot);
    if (hot) {
        edge_log(EDGE_WARNING, warning, sizeof warning - 1);
        edge_publish(topic, sizeof topic - 1, text, length);
    }
    edge_output(text, length);
    return hot;
}
