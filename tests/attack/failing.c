/* Preloaded into a process: the N-th call of one kind on a file below a folder fails, in it and in its children.

   The file FAILING_PLAN, which all of them share, says which; see faults.py, which writes it.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static struct plan {
    int64_t count, at, last, error, kind; /* calls so far; the first and the last that fail */
    char root[4096];
} *plan;
enum { WRITE, FSYNC, RENAME, OPEN }; /* to write */

__attribute__((constructor)) static void prepare(void) {
    const char *path = getenv("FAILING_PLAN");
    int (*open_file)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int file = path ? open_file(path, O_RDWR) : -1;
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED) plan = shared;
    close(file);
}

static int fails(int kind, const char *path) {
    if (!plan || kind != plan->kind || !plan->root[0] || strncmp(path, plan->root, strlen(plan->root))) return 0;
    int64_t number = __atomic_add_fetch(&plan->count, 1, __ATOMIC_SEQ_CST);
    if (number < plan->at || number > plan->last) return 0;
    errno = (int)plan->error;
    return 1;
}

static int fails_at(int kind, int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(kind, path);
}

static int fails_open(const char *path, int flags) {
    char full[PATH_MAX];
    if (!(flags & (O_WRONLY | O_RDWR | O_CREAT))) return 0;
    if (path[0] == '/') return fails(OPEN, path);
    if (!getcwd(full, sizeof full - strlen(path) - 2)) return 0;
    strcat(strcat(full, "/"), path);
    return fails(OPEN, full);
}

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int descriptor, const void *data, size_t size) {
    NEXT(write);
    return fails_at(WRITE, descriptor) ? -1 : next(descriptor, data, size);
}
ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t place) {
    NEXT(pwrite64);
    return fails_at(WRITE, descriptor) ? -1 : next(descriptor, data, size, place);
}
int fsync(int descriptor) {
    NEXT(fsync);
    return fails_at(FSYNC, descriptor) ? -1 : next(descriptor);
}
int fdatasync(int descriptor) {
    NEXT(fdatasync);
    return fails_at(FSYNC, descriptor) ? -1 : next(descriptor);
}
int rename(const char *from, const char *to) {
    NEXT(rename);
    return fails(RENAME, to) ? -1 : next(from, to);
}
#define MODE                                  \
    mode_t mode = 0;                          \
    if (flags & (O_CREAT | O_TMPFILE)) {      \
        va_list rest;                         \
        va_start(rest, flags);                \
        mode = va_arg(rest, mode_t);          \
        va_end(rest);                         \
    }
int open(const char *path, int flags, ...) {
    NEXT(open);
    MODE
    return fails_open(path, flags) ? -1 : next(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    NEXT(open64);
    MODE
    return fails_open(path, flags) ? -1 : next(path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    NEXT(openat);
    MODE
    return fails_open(path, flags) ? -1 : next(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    NEXT(openat64);
    MODE
    return fails_open(path, flags) ? -1 : next(folder, path, flags, mode);
}
