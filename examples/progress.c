/* primes(n): how many primes are below n, by trial division. It says how far it is, and when the task is stopped it
   returns early with how many it has found, so that the work is not lost. */
#include "edge.h"

static int is_prime(uint32_t number) {
    if (number < 2) return 0;
    for (uint32_t divisor = 2; divisor <= number / divisor; divisor++)
        if (number % divisor == 0) return 0;
    return 1;
}

EDGE_EXPORT(primes) int32_t primes(int32_t n) {
    static const char stopped[] = "stopped early";
    int32_t found = 0, said = -1;
    for (int32_t number = 0; number < n; number++) {
        int32_t permille = (int32_t)((int64_t)number * 1000 / n);
        if (permille != said) edge_progress(said = permille);
        if (number % 256 == 0 && edge_cancelled()) {
            edge_log(EDGE_INFO, stopped, sizeof stopped - 1);
            return found;
        }
        found += is_prime((uint32_t)number);
    }
    edge_progress(1000);
    return found;
}
