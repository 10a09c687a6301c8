/* Preloaded into a process: reads and writes of regular files do less than was asked, as POSIX lets them (and network
   file systems, FUSE and signals make them). How much less is chosen anew each time, one time in four only a
   few bytes are done; never nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static size_t fewer(int file, size_t count) {
    static __thread unsigned long state = 88172645463325252UL;
    struct stat status;
    if (count < 2 || fstat(file, &status) || !S_ISREG(status.st_mode))
        return count;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return 1 + (state >> 8) % (state & 3 ? count : count < 20 ? count : 20);
}

#define SHORTENED(name, buffer)                                              \
    ssize_t name(int file, buffer data, size_t count) {                      \
        static ssize_t (*real)(int, buffer, size_t);                         \
        if (!real)                                                           \
            real = (ssize_t (*)(int, buffer, size_t))dlsym(RTLD_NEXT, #name); \
        return real(file, data, fewer(file, count));                         \
    }
#define SHORTENED_AT(name, buffer)                                                  \
    ssize_t name(int file, buffer data, size_t count, off64_t at) {                 \
        static ssize_t (*real)(int, buffer, size_t, off64_t);                       \
        if (!real)                                                                  \
            real = (ssize_t (*)(int, buffer, size_t, off64_t))dlsym(RTLD_NEXT, #name); \
        return real(file, data, fewer(file, count), at);                            \
    }

SHORTENED(read, void *)
SHORTENED(write, const void *)
SHORTENED_AT(pread64, void *)
SHORTENED_AT(pwrite64, const void *)
SHORTENED_AT(pread, void *)
SHORTENED_AT(pwrite, const void *)

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t count, unsigned flags) {
    static ssize_t (*real)(int, off64_t *, int, off64_t *, size_t, unsigned);
    if (!real)
        real = (ssize_t (*)(int, off64_t *, int, off64_t *, size_t, unsigned))dlsym(RTLD_NEXT, "copy_file_range");
    return real(from, at, to, there, fewer(from, count), flags);
}
