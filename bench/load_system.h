/* What the load generator asks of the system: times, CPU time, files and limits. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

static double cpu_of(const char *list) { /* seconds of user and system time of all `list` */
    double total = 0;
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", list);
    for (char *pid = strtok(copy, ","); pid; pid = strtok(NULL, ",")) {
        char path[64], text[1024];
        snprintf(path, sizeof path, "/proc/%s/stat", pid);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        size_t size = fread(text, 1, sizeof text - 1, file);
        fclose(file);
        text[size] = 0;
        unsigned long user = 0, system = 0;
        char *after = strrchr(text, ')');
        if (after)
            sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
        total += (double)(user + system) / sysconf(_SC_CLK_TCK);
    }
    return total;
}

static double cpu_of_all(void) { /* seconds of all programs; what a host took from us counts too */
    unsigned long user, nice, system, idle, wait, irq, softirq, stolen = 0;
    FILE *file = fopen("/proc/stat", "r");
    if (!file) return 0;
    int found = fscanf(file, "cpu %lu %lu %lu %lu %lu %lu %lu %lu", &user, &nice, &system, &idle,
                       &wait, &irq, &softirq, &stolen);
    fclose(file);
    return found < 7 ? 0 : (double)(user + nice + system + stolen) / sysconf(_SC_CLK_TCK);
}

static double own_cpu(void) { /* seconds */
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void raise_file_limit(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static char *file_of(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) die(path);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = calloc(1, size + 1);
    if (fread(text, 1, size, file) != (size_t)size) die(path);
    fclose(file);
    return text;
}
