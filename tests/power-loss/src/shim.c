// Preloaded into a program: does every change that it makes below POWER_LOSS_ROOT one at a time, and writes each to POWER_LOSS_TRACE, in the
// order in which they happened. What it prints to standard output is in the same order: that is where it acknowledges.
//
// POWER_LOSS_FAIL="<number> <done>" makes the change of that number (from 0) fail with EIO; done=1 does it nevertheless.
//
// A record: u8 operation, i32 descriptor, u64 offset, u32 length, bytes, u32 length, bytes; integers little-endian (trace.rs reads it).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, CLOSE, WRITE, TRUNCATE, SYNC, SYNC_FAILED, RENAME, UNLINK, LINK, MKDIR, OUTPUT };
enum { DESCRIPTORS = 65536 };

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static char root[PATH_MAX];
static size_t root_length;
static long change, failing = -1;
static int failing_is_done;
static unsigned char is_ours[DESCRIPTORS];

__attribute__((constructor)) static void begin(void) {
  const char *folder = getenv("POWER_LOSS_ROOT"), *path = getenv("POWER_LOSS_TRACE"), *fail = getenv("POWER_LOSS_FAIL");
  if (!folder || !path) return;
  root_length = strlen(folder);
  memcpy(root, folder, root_length + 1);
  trace = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (trace < 0) _exit(97);
  if (fail) sscanf(fail, "%ld %d", &failing, &failing_is_done);
}

static void put(const void *bytes, size_t length) {
  const char *at = bytes;
  while (length > 0) {
    long written = syscall(SYS_write, trace, at, length);
    if (written < 0) _exit(98);
    at += written;
    length -= (size_t)written;
  }
}

static void record(uint8_t operation, int32_t descriptor, uint64_t offset, const void *first, size_t first_length, const char *second) {
  uint32_t lengths[2] = {(uint32_t)first_length, (uint32_t)(second ? strlen(second) : 0)};
  unsigned char head[17];
  head[0] = operation;
  memcpy(head + 1, &descriptor, 4);
  memcpy(head + 5, &offset, 8);
  memcpy(head + 13, &lengths[0], 4);
  put(head, sizeof head);
  put(first, first_length);
  put(&lengths[1], 4);
  put(second, lengths[1]);
}

// The path below the root, or NULL. Programs under test use absolute paths.
static const char *below(const char *path) {
  if (trace < 0 || !path || strncmp(path, root, root_length) != 0) return NULL;
  if (path[root_length] == 0) return path + root_length;
  return path[root_length] == '/' ? path + root_length + 1 : NULL;
}

static int ours(int descriptor) { return trace >= 0 && descriptor >= 0 && descriptor < DESCRIPTORS && is_ours[descriptor]; }

// 0: do it; 1: do it and fail; 2: only fail.
static int fate(void) { return change++ != failing ? 0 : failing_is_done ? 1 : 2; }

static void lock(void) { pthread_mutex_lock(&turn); }
static void unlock(void) { pthread_mutex_unlock(&turn); }

static long failed(void) {
  errno = EIO;
  return -1;
}

static int opened(int descriptor, const char *path, int flags) {
  const char *name = below(path);
  if (name && descriptor >= DESCRIPTORS) _exit(96);
  if (name && descriptor >= 0) {
    is_ours[descriptor] = 1;
    record(OPEN, descriptor, (uint64_t)(uint32_t)flags, name, strlen(name), NULL);
  }
  return descriptor;
}

static int open_any(int folder, const char *path, int flags, mode_t mode) {
  lock();
  int descriptor = (int)syscall(SYS_openat, folder, path, flags, mode);
  int error = errno;
  opened(descriptor, path, flags);
  unlock();
  errno = error;
  return descriptor;
}

#define MODE                                            \
  mode_t mode = 0;                                      \
  if (flags & (O_CREAT | O_TMPFILE)) {                  \
    va_list more;                                       \
    va_start(more, flags);                              \
    mode = va_arg(more, mode_t);                        \
    va_end(more);                                       \
  }

int open(const char *path, int flags, ...) { MODE return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return open_any(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE return open_any(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE return open_any(folder, path, flags | O_LARGEFILE, mode); }
int creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int descriptor) {
  lock();
  if (ours(descriptor)) {
    is_ours[descriptor] = 0;
    record(CLOSE, descriptor, 0, NULL, 0, NULL);
  }
  int closed = (int)syscall(SYS_close, descriptor);
  unlock();
  return closed;
}

// `offset` is -1 for a write where the descriptor stands.
static ssize_t write_any(int descriptor, const void *bytes, size_t length, off_t offset) {
  if (descriptor == STDOUT_FILENO && trace >= 0) {
    lock();
    ssize_t written = syscall(SYS_write, descriptor, bytes, length);
    if (written > 0) record(OUTPUT, descriptor, 0, bytes, (size_t)written, NULL);
    unlock();
    return written;
  }
  if (!ours(descriptor)) {
    return offset < 0 ? syscall(SYS_write, descriptor, bytes, length) : syscall(SYS_pwrite64, descriptor, bytes, length, offset);
  }
  lock();
  int fated = fate();
  ssize_t written = -1;
  if (fated < 2) {
    written = offset < 0 ? syscall(SYS_write, descriptor, bytes, length) : syscall(SYS_pwrite64, descriptor, bytes, length, offset);
    if (written > 0) {
      off_t at = offset < 0 ? syscall(SYS_lseek, descriptor, 0, SEEK_CUR) - written : offset;
      record(WRITE, descriptor, (uint64_t)at, bytes, (size_t)written, NULL);
    }
  }
  int error = errno;
  unlock();
  errno = error;
  return fated ? failed() : written;
}

ssize_t write(int descriptor, const void *bytes, size_t length) { return write_any(descriptor, bytes, length, -1); }
ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset) { return write_any(descriptor, bytes, length, offset); }
ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) { return write_any(descriptor, bytes, length, offset); }

// One buffer of several: a short write is allowed.
ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  if (!ours(descriptor) && descriptor != STDOUT_FILENO) return syscall(SYS_writev, descriptor, parts, count);
  for (int part = 0; part < count; part++)
    if (parts[part].iov_len > 0) return write_any(descriptor, parts[part].iov_base, parts[part].iov_len, -1);
  return 0;
}

static int truncate_any(int descriptor, off_t length) {
  if (!ours(descriptor)) return (int)syscall(SYS_ftruncate, descriptor, length);
  lock();
  int fated = fate(), done = -1;
  if (fated < 2 && (done = (int)syscall(SYS_ftruncate, descriptor, length)) == 0) record(TRUNCATE, descriptor, (uint64_t)length, NULL, 0, NULL);
  unlock();
  return fated ? (int)failed() : done;
}
int ftruncate(int descriptor, off_t length) { return truncate_any(descriptor, length); }
int ftruncate64(int descriptor, off64_t length) { return truncate_any(descriptor, length); }

// Preallocation is refused, as some file systems do, so that a file has the length that was written.
int fallocate(int descriptor, int mode, off_t offset, off_t length) {
  if (!ours(descriptor)) return (int)syscall(SYS_fallocate, descriptor, mode, offset, length);
  errno = EOPNOTSUPP;
  return -1;
}
int fallocate64(int descriptor, int mode, off64_t offset, off64_t length) { return fallocate(descriptor, mode, offset, length); }
int posix_fallocate(int descriptor, off_t offset, off_t length) {
  (void)descriptor, (void)offset, (void)length;
  return EOPNOTSUPP;
}
int posix_fallocate64(int descriptor, off64_t offset, off64_t length) { return posix_fallocate(descriptor, offset, length); }

static int sync_any(long call, int descriptor) {
  if (!ours(descriptor)) return (int)syscall(call, descriptor);
  lock();
  int fated = fate(), done = 0;
  // What the model keeps is what a cut leaves: the real disk need not be waited for.
  record(fated < 2 ? SYNC : SYNC_FAILED, descriptor, 0, NULL, 0, NULL);
  unlock();
  return fated ? (int)failed() : done;
}
int fsync(int descriptor) { return sync_any(SYS_fsync, descriptor); }
int fdatasync(int descriptor) { return sync_any(SYS_fdatasync, descriptor); }

static int two(uint8_t operation, const char *from, const char *to, int (*act)(const char *, const char *)) {
  const char *first = below(from), *second = to ? below(to) : NULL;
  if (!first && !second) return act(from, to);
  if (!first || (to && !second)) _exit(95);
  lock();
  int fated = fate(), done = -1;
  if (fated < 2 && (done = act(from, to)) == 0) record(operation, -1, 0, first, strlen(first), second);
  int error = errno;
  unlock();
  errno = error;
  return fated ? (int)failed() : done;
}
static int do_rename(const char *from, const char *to) { return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0); }
static int do_link(const char *from, const char *to) { return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0); }
static int do_unlink(const char *path, const char *none) { (void)none; return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0); }
static int do_rmdir(const char *path, const char *none) { (void)none; return (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR); }

int rename(const char *from, const char *to) { return two(RENAME, from, to, do_rename); }
int link(const char *from, const char *to) { return two(LINK, from, to, do_link); }
int linkat(int a, const char *from, int b, const char *to, int flags) {
  if (!below(from) && !below(to)) return (int)syscall(SYS_linkat, a, from, b, to, flags);
  return two(LINK, from, to, do_link);
}
int unlink(const char *path) { return two(UNLINK, path, NULL, do_unlink); }
// How a folder is removed with what is in it: names are told relative to an open folder.
int unlinkat(int folder, const char *path, int flags) {
  char link[64], full[2 * PATH_MAX];
  const char *absolute = path;
  if (trace >= 0 && path[0] != '/' && folder != AT_FDCWD) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, full, (size_t)PATH_MAX);
    if (length < 0) _exit(93);
    snprintf(full + length, sizeof full - (size_t)length, "/%s", path);
    absolute = full;
  }
  if (!below(absolute)) return (int)syscall(SYS_unlinkat, folder, path, flags);
  return two(UNLINK, absolute, NULL, flags & AT_REMOVEDIR ? do_rmdir : do_unlink);
}
int rmdir(const char *path) { return two(UNLINK, path, NULL, do_rmdir); }

int mkdir(const char *path, mode_t mode) {
  const char *name = below(path);
  if (!name) return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
  lock();
  int made = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode), error = errno;
  if (made == 0) record(MKDIR, -1, 0, name, strlen(name), NULL);
  unlock();
  errno = error;
  return made;
}

// Ways to change a file that the trace could not follow.
ssize_t copy_file_range(int a, off64_t *b, int c, off64_t *d, size_t e, unsigned f) {
  (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
  errno = ENOSYS;
  return -1;
}
ssize_t sendfile64(int a, int b, off64_t *c, size_t d) {
  (void)a, (void)b, (void)c, (void)d;
  errno = ENOSYS;
  return -1;
}
static void *map_any(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  if (ours(descriptor) && (protection & PROT_WRITE) && (flags & MAP_SHARED)) _exit(94);
  return (void *)syscall(SYS_mmap, address, length, protection, flags, descriptor, offset);
}
void *mmap(void *a, size_t l, int p, int f, int d, off_t o) { return map_any(a, l, p, f, d, o); }
void *mmap64(void *a, size_t l, int p, int f, int d, off64_t o) { return map_any(a, l, p, f, d, o); }
