/* What the files of tail share: where it stands in the file that it follows, and how lines are read and written.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef TAIL_H
#define TAIL_H

#include <pintle/plugin.h>

/* Where one is in a file, so that it is found again. All members are of one size: there is no padding to compare. */
typedef struct {
  uint64_t inode;     /* 0: there was no file yet */
  uint64_t offset;    /* of the first byte that was not taken */
  uint64_t skipping;  /* 1: the bytes up to the next newline belong to a line that was cut */
  uint64_t head_len;  /* how many bytes of the file's start `head_hash` is of: inodes are used again */
  uint64_t head_hash;
} position;

enum { POSITION_SIZE = 128 };

/* Writes a position as text, for storage; how long it is. */
size_t position_format(const position *at, char text[POSITION_SIZE]);
/* Reads it back; 0 if it is none. `text` ends with a NUL. */
int position_parse(const char *text, position *at);

/* A line, in the follower's memory until it is next asked for one. */
typedef struct {
  const uint8_t *text;
  size_t len;
  uint64_t offset;
  int cut;
} text_line;

/* The file that is followed. Begin with zeros and `fd` -1. */
typedef struct {
  int fd;           /* -1: there is none */
  position at;
  position next;    /* after the line that was given last */
  uint64_t size;    /* at the last look */
  int64_t written_ns; /* when it was last written to, at the last look */
  int ending;       /* the path names another file, and nothing comes any more: the last line is whole as it is */
  int reads;        /* how often may be read until the next look */
  uint8_t *window;  /* bytes of the file from `window_at` on */
  size_t window_cap, window_len;
  uint64_t window_at;
  char reason[128]; /* why something failed; empty if nothing did */
} follower;

/* Opens the file at `path` where `stored` says, or, where that is null, at its start or its end. What was found comes
 * back in one sentence; where nothing was, `fd` stays -1 and `reason` says why. */
const char *follower_open(follower *file, const char *path, const position *stored, int from_start);
/* Looks what has become of the file; news in one sentence, or null. Comes before the lines of each run. */
const char *follower_look(follower *file, const char *path);
/* Gives the next line, again and again the same one until it was taken; 0 if there is none yet. */
int follower_next(follower *file, size_t max_line, text_line *line);
void follower_taken(follower *file);
/* Closes the file. */
void follower_close(follower *file);
/* Closes the file and frees the memory. */
void follower_free(follower *file);

/* Appends text as the inside of a JSON string. What is not UTF-8 becomes U+FFFD, one for each sequence that breaks off,
 * as the Unicode Standard recommends. */
pintle_status json_escape(pintle_buf *out, const uint8_t *text, size_t len);

/* The length of the UTF-8 sequence at `text`; where it is none, 0, and `bad` gets how many bytes to pass over. */
size_t utf8_length(const uint8_t *text, size_t len, size_t *bad);

#endif
