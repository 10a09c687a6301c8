/* Preloaded into a process: below the folder NO_MODES the file system keeps no modes and no second names, as FAT: chmod
   and link are not permitted, and every file shows mode 0755, which mount gave it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_below(const char *path) {
    const char *folder = getenv("NO_MODES");
    return folder && !strncmp(path, folder, strlen(folder));
}

static int is_open_below(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    return is_below(path);
}

static int leads_below(int at, const char *path) {
    char place[PATH_MAX], parent[PATH_MAX], real[PATH_MAX];
    if (path[0] == '/' || at == AT_FDCWD)
        snprintf(place, sizeof place, "%s", path);
    else
        snprintf(place, sizeof place, "/proc/self/fd/%d/%s", at, path);
    char *slash = strrchr(place, '/');
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - place) + 1 : 1, slash ? place : ".");
    return realpath(parent, real) && is_below(real);
}

static int refuse(void) {
    errno = EPERM;
    return -1;
}

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

int fchmod(int file, mode_t mode) {
    return is_open_below(file) ? refuse() : NEXT(int (*)(int, mode_t), "fchmod")(file, mode);
}

int chmod(const char *path, mode_t mode) {
    return leads_below(AT_FDCWD, path) ? refuse() : NEXT(int (*)(const char *, mode_t), "chmod")(path, mode);
}

int fchmodat(int at, const char *path, mode_t mode, int flags) {
    int (*real)(int, const char *, mode_t, int) = NEXT(int (*)(int, const char *, mode_t, int), "fchmodat");
    return leads_below(at, path) ? refuse() : real(at, path, mode, flags);
}

int linkat(int from, const char *old, int to, const char *new, int flags) {
    int (*real)(int, const char *, int, const char *, int) =
        NEXT(int (*)(int, const char *, int, const char *, int), "linkat");
    return leads_below(to, new) ? refuse() : real(from, old, to, new, flags);
}

int link(const char *old, const char *new) {
    int (*real)(const char *, const char *) = NEXT(int (*)(const char *, const char *), "link");
    return leads_below(AT_FDCWD, new) ? refuse() : real(old, new);
}

/* FAT makes no files without a name either. */
int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    char inner[PATH_MAX];
    snprintf(inner, sizeof inner, "%s/x", path);
    if ((flags & O_TMPFILE) == O_TMPFILE && leads_below(AT_FDCWD, inner)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return NEXT(int (*)(const char *, int, ...), "open64")(path, flags, mode);
}

static int shown(int result, int below, struct stat64 *status) {
    if (!result && below && !S_ISLNK(status->st_mode))
        status->st_mode = (status->st_mode & S_IFMT) | 0755;
    return result;
}

int fstat64(int file, struct stat64 *status) {
    int result = NEXT(int (*)(int, struct stat64 *), "fstat64")(file, status);
    return shown(result, is_open_below(file), status);
}

int stat64(const char *path, struct stat64 *status) {
    int result = NEXT(int (*)(const char *, struct stat64 *), "stat64")(path, status);
    return shown(result, leads_below(AT_FDCWD, path), status);
}

int lstat64(const char *path, struct stat64 *status) {
    int result = NEXT(int (*)(const char *, struct stat64 *), "lstat64")(path, status);
    return shown(result, leads_below(AT_FDCWD, path), status);
}

int fstatat64(int at, const char *path, struct stat64 *status, int flags) {
    int result = NEXT(int (*)(int, const char *, struct stat64 *, int), "fstatat64")(at, path, status, flags);
    return shown(result, leads_below(at, path), status);
}
