/* hello NAME...: greets every name, then copies standard input with line numbers; with no name it fails.
   GREETING in the environment replaces "Hello". What it says beside the result goes to standard error. */
#include <stdio.h>
#include <stdlib.h>

static void number_lines(void) {
    int lines = 0, column = 0, c;
    while ((c = getchar()) != EOF) {
        if (column++ == 0) printf("%d: ", ++lines);
        putchar(c);
        if (c == '\n') column = 0;
    }
    if (column) putchar('\n');
    fprintf(stderr, "lines: %d\n", lines);
}

int main(int argc, char **argv) {
    const char *greeting = getenv("GREETING");
    if (argc < 2) {
        fprintf(stderr, "usage: %s NAME...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) printf("%s, %s!\n", greeting ? greeting : "Hello", argv[i]);
    number_lines();
    return 0;
}
