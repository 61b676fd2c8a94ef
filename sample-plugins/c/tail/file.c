/* The file that is followed: where one stands in it, and what becomes of it under the reader's hands.
 *
 * A file is known by its inode and by a hash of its first bytes, because inodes are used again. Rotated is a file
 * whose path names another one: the old one is read on until it has been quiet from one look to the next and the new
 * one has something to read, because programs write to a file that was renamed until somebody tells them. What a
 * rotation within a rotation pushes away between two looks is not seen.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "tail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD = 256, WINDOW = 65536, READS = 64 };

size_t position_format(const position *at, char text[POSITION_SIZE]) {
  int len = snprintf(text, POSITION_SIZE, "1 %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, at->inode,
                     at->offset, at->skipping, at->head_len, at->head_hash);
  return (size_t)len;
}

int position_parse(const char *text, position *at) {
  position read;
  char rest;
  int found = sscanf(text, "1 %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 "%c", &read.inode,
                     &read.offset, &read.skipping, &read.head_len, &read.head_hash, &rest);
  if (found != 5 || read.skipping > 1 || read.head_len > HEAD || read.head_len > read.offset ||
      read.offset > INT64_MAX)
    return 0;
  *at = read;
  return 1;
}

static void fail(follower *file, int error) {
  if (strerror_r(error, file->reason, sizeof file->reason) != 0)
    snprintf(file->reason, sizeof file->reason, "error %d", error);
}

/* pread that goes on where a signal comes between; -1 with a reason. */
static ssize_t read_at(follower *file, int fd, void *buf, size_t len, uint64_t offset) {
  ssize_t got;
  do got = pread(fd, buf, len, (off_t)offset);
  while (got < 0 && errno == EINTR);
  if (got < 0) fail(file, errno);
  return got;
}

/* Opens a regular file. A pipe has no positions, and a directory no lines. */
static int open_regular(follower *file, int folder, const char *name, struct stat *info) {
  int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    fail(file, errno);
    return -1;
  }
  if (fstat(fd, info) == 0 && S_ISREG(info->st_mode)) return fd;
  close(fd);
  snprintf(file->reason, sizeof file->reason, "it is not a regular file");
  return -1;
}

/* FNV-1a of the first bytes; 0 if they cannot be read. */
static int hash_head(follower *file, int fd, size_t len, uint64_t *hash) {
  uint8_t head[HEAD];
  ssize_t got = read_at(file, fd, head, len, 0), at;
  if (got != (ssize_t)len) return 0;
  *hash = 14695981039346656037u;
  for (at = 0; at < got; at++) *hash = (*hash ^ head[at]) * 1099511628211u;
  return 1;
}

/* Is this the file of the position, as far as it was read? */
static int same_start(follower *file, int fd, uint64_t size, const position *at) {
  uint64_t hash;
  if (size < at->offset) return 0;
  return at->head_len == 0 || (hash_head(file, fd, (size_t)at->head_len, &hash) && hash == at->head_hash);
}

/* Looks for a file that was renamed, beside its old name: rotation appends something to it. */
static int find_renamed(follower *file, const char *path, const position *at, struct stat *info) {
  const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
  pintle_buf folder = {0};
  struct dirent *entry;
  DIR *dir = NULL;
  int fd = -1;
  if (pintle_buf_write(&folder, slash == NULL ? "." : path, slash == NULL ? 1 : (size_t)(slash - path) + 1) ==
      PINTLE_OK)
    dir = opendir((const char *)folder.ptr);
  pintle_buf_free(&folder);
  while (dir != NULL && fd < 0 && (entry = readdir(dir)) != NULL) {
    if ((uint64_t)entry->d_ino != at->inode || strncmp(entry->d_name, name, strlen(name)) != 0) continue;
    fd = open_regular(file, dirfd(dir), entry->d_name, info);
    if (fd >= 0 && ((uint64_t)info->st_ino != at->inode || !same_start(file, fd, (uint64_t)info->st_size, at))) {
      close(fd);
      fd = -1;
    }
  }
  if (dir != NULL) closedir(dir);
  return fd;
}

/* Stands at a position of the file, or at its start. What is behind it will be news to the next look. */
static void begin_at(follower *file, const struct stat *info, const position *from) {
  memset(&file->at, 0, sizeof file->at);
  if (from != NULL) file->at = *from;
  file->at.inode = (uint64_t)info->st_ino;
  file->size = file->at.offset;
}

/* Takes an open file in place of the one that there was. */
static void take(follower *file, int fd, const struct stat *info, const position *from) {
  follower_close(file);
  file->fd = fd;
  file->written_ns = 0;
  file->reason[0] = 0;
  begin_at(file, info, from);
}

/* Learns the file's first bytes, as far as it was read. */
static void learn_head(follower *file) {
  uint64_t len = file->at.offset < HEAD ? file->at.offset : HEAD;
  if (len > file->at.head_len && hash_head(file, file->fd, (size_t)len, &file->at.head_hash))
    file->at.head_len = len;
}

/* Goes to the end, to the start of a line that is not finished yet. */
static void go_to_end(follower *file, uint64_t size) {
  uint64_t from = size > WINDOW ? size - WINDOW : 0;
  uint8_t *bytes = malloc(WINDOW);
  ssize_t got = bytes == NULL ? 0 : read_at(file, file->fd, bytes, (size_t)(size - from), from);
  ssize_t len = got;
  while (len > 0 && bytes[len - 1] != '\n') len--;
  file->at.offset = from + (uint64_t)(len > 0 ? len : from > 0 ? got : 0);
  file->at.skipping = len <= 0 && from > 0; /* the line began too long ago */
  file->size = file->at.offset;
  free(bytes);
  learn_head(file);
}

const char *follower_open(follower *file, const char *path, const position *stored, int from_start) {
  struct stat info, renamed;
  int fd, old;
  file->reason[0] = 0;
  fd = open_regular(file, AT_FDCWD, path, &info);
  if (stored != NULL && stored->inode != 0) {
    int same = fd >= 0 && (uint64_t)info.st_ino == stored->inode;
    if (same && same_start(file, fd, (uint64_t)info.st_size, stored)) {
      take(file, fd, &info, stored);
      return "the file is followed from where it was left";
    }
    old = find_renamed(file, path, stored, &renamed);
    if (old >= 0) {
      if (fd >= 0) close(fd);
      take(file, old, &renamed, stored);
      return "the file was renamed meanwhile: what is left of it comes first";
    }
    if (fd < 0) return NULL;
    take(file, fd, &info, NULL);
    return "the file is another one than it was: it is followed from its start";
  }
  if (fd < 0) return NULL;
  take(file, fd, &info, NULL);
  if (stored != NULL || from_start) return "the file is followed from its start";
  go_to_end(file, (uint64_t)info.st_size);
  return "the file is followed from its end";
}

const char *follower_look(follower *file, const char *path) {
  struct stat now, named;
  uint64_t before = file->size;
  int64_t written = file->written_ns;
  int moved, quiet;
  file->reason[0] = 0;
  file->window_len = 0;
  file->reads = READS;
  if (fstat(file->fd, &now) != 0) {
    fail(file, errno);
    return NULL;
  }
  file->size = (uint64_t)now.st_size;
  file->written_ns = (int64_t)now.st_mtim.tv_sec * 1000000000 + now.st_mtim.tv_nsec;
  quiet = file->size == before;
  moved = stat(path, &named) == 0 && (named.st_dev != now.st_dev || named.st_ino != now.st_ino);
  if (moved && file->ending && quiet && file->at.offset == file->size) {
    int fd = open_regular(file, AT_FDCWD, path, &named);
    if (fd >= 0) {
      take(file, fd, &named, NULL);
      return "the file was rotated: the new one is followed from its start";
    }
    file->reason[0] = 0; /* the old one is fine */
    return file->ending++ == 1 ? "the file was rotated, and the new one cannot be opened" : NULL;
  }
  file->ending = moved && named.st_size > 0 && quiet;
  if ((!quiet || file->written_ns != written) && !same_start(file, file->fd, file->size, &file->at) &&
      file->reason[0] == 0) {
    begin_at(file, &now, NULL);
    return "the file was written anew: it is followed from its start";
  }
  return NULL;
}

/* Makes the window begin at `offset`; 0 if it cannot be read. */
static int fill(follower *file, uint64_t offset, size_t wanted) {
  ssize_t got;
  if (file->window_cap < wanted) {
    size_t cap = wanted < WINDOW ? WINDOW : wanted;
    uint8_t *grown = realloc(file->window, cap);
    if (grown == NULL) {
      fail(file, ENOMEM);
      return 0;
    }
    file->window = grown;
    file->window_cap = cap;
  }
  file->reads--;
  file->window_len = 0;
  got = read_at(file, file->fd, file->window, file->window_cap, offset);
  if (got < 0) return 0;
  file->window_at = offset;
  file->window_len = (size_t)got;
  return 1;
}

/* The bytes up to the next newline, or `wanted` of them, or what there is; null if there is nothing. */
static const uint8_t *bytes_here(follower *file, size_t wanted, size_t *len, const uint8_t **newline) {
  uint64_t offset = file->at.offset;
  const uint8_t *bytes = NULL;
  *newline = NULL;
  for (*len = 0;;) {
    uint64_t end = file->window_at + file->window_len;
    if (offset >= file->window_at && offset < end) {
      bytes = file->window + (offset - file->window_at);
      *len = (size_t)(end - offset) < wanted ? (size_t)(end - offset) : wanted;
      *newline = memchr(bytes, '\n', *len);
      if (*newline != NULL || *len == wanted) return bytes;
    }
    /* The rest of the file is in the window, as far as the last look could see, or was all that one may read. */
    if ((file->window_len > 0 && end >= file->size) || offset >= file->size || file->reads == 0) return bytes;
    if (!fill(file, offset, wanted) || file->window_len == 0) return NULL;
  }
}

/* Passes over what is left of a line that was cut; 0 if its end has not come yet. */
static int skip(follower *file) {
  const uint8_t *bytes, *newline;
  size_t len;
  while (file->at.skipping) {
    bytes = bytes_here(file, WINDOW, &len, &newline);
    if (bytes == NULL) return 0;
    file->at.offset += newline == NULL ? len : (size_t)(newline - bytes) + 1;
    file->at.skipping = newline == NULL;
  }
  return 1;
}

int follower_next(follower *file, size_t max_line, text_line *line) {
  const uint8_t *bytes, *newline;
  size_t len, bad;
  if (!skip(file)) return 0;
  bytes = bytes_here(file, max_line + 1, &len, &newline);
  if (bytes == NULL) return 0;
  file->next = file->at;
  line->text = bytes;
  line->len = newline == NULL ? len : (size_t)(newline - bytes);
  line->offset = file->at.offset;
  line->cut = line->len > max_line;
  if (line->cut) {
    /* Not in the middle of a character, if it is one. */
    for (line->len = max_line; line->len > max_line - 3 && (bytes[line->len] & 0xC0) == 0x80; line->len--) continue;
    if (utf8_length(bytes + line->len, len - line->len, &bad) == 0 && bad < len - line->len) line->len = max_line;
    file->next.skipping = 1;
    file->next.offset += line->len;
    return 1;
  }
  /* Its newline has not come yet, and may still come. */
  if (newline == NULL && (!file->ending || file->at.offset + len < file->size)) return 0;
  file->next.offset += line->len + (newline != NULL);
  return 1;
}

void follower_taken(follower *file) {
  file->at = file->next;
  learn_head(file);
}

void follower_close(follower *file) {
  if (file->fd >= 0) close(file->fd);
  file->fd = -1;
  file->ending = 0;
  file->window_len = 0;
}

void follower_free(follower *file) {
  follower_close(file);
  free(file->window);
  file->window = NULL;
  file->window_cap = 0;
}
