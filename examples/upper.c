/* upper(): the payload with its ASCII letters in upper case, piece by piece: any length in one page of memory. */
#include "edge.h"

static char piece[256];

EDGE_EXPORT(upper) void upper(void) {
    int32_t offset = 0, got;
    while ((got = edge_input_read(piece, offset, sizeof piece)) > 0) {
        for (int32_t i = 0; i < got; i++)
            if (piece[i] >= 'a' && piece[i] <= 'z') piece[i] -= 'a' - 'A';
        edge_output(piece, got);
        offset += got;
    }
}
