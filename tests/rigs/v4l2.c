/* A USB camera without USB: preloaded, it answers for one device node, so that OpenCV's real V4L2 back end runs.
 *
 * The folder V4L2_RIG holds `mode` (first byte r: runs, f: frozen, u: unplugged, b: busy, p: not permitted) and
 * `frame.bgr` (640 x 480 x 3 bytes), both read afresh each time. V4L2_RIG_NODE is the path it answers for. Frames come
 * 30 times a second over a pipe, which is the descriptor the program polls. Unplugging sticks to a descriptor: a camera
 * that is plugged in again must be opened again.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WIDTH = 640, HEIGHT = 480, FRAME_BYTES = WIDTH * HEIGHT * 3, BUFFERS = 8, SLOTS = 64, OFFSET = 0x1000000 };

static int camera = -1;  /* read end of the pipe: what the program holds */
static int ticks = -1;   /* write end */
static int unplugged;
static void *buffers[BUFFERS];
static int queue[SLOTS], queue_head, queue_tail;
static unsigned sequence;
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;

typedef int (*open_call)(const char *, int, ...);

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static int open_beside(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", getenv("V4L2_RIG"), name);
    return ((open_call)next("open"))(path, O_RDONLY);
}

static void close_real(int fd) { ((int (*)(int))next("close"))(fd); }

static char mode(void) {
    char byte = 'u';
    int fd = open_beside("mode");
    if (fd < 0) return 'u';
    if (read(fd, &byte, 1) != 1) byte = 'r'; /* caught while it is being rewritten */
    close_real(fd);
    return byte;
}

static void *tick(void *argument) {
    int end = (int)(long)argument;
    while (ticks == end) {
        usleep(33333);
        if (mode() != 'f' && write(end, "x", 1) < 0 && errno != EAGAIN) break;
    }
    return NULL;
}

static int open_camera(void) {
    int ends[2];
    pthread_t thread;
    switch (mode()) {
    case 'u': errno = ENOENT; return -1;
    case 'p': errno = EACCES; return -1;
    case 'b': errno = EBUSY; return -1;
    }
    if (camera >= 0) { errno = EBUSY; return -1; }
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC)) return -1;
    camera = ends[0];
    ticks = ends[1];
    unplugged = queue_head = queue_tail = 0;
    pthread_create(&thread, NULL, tick, (void *)(long)ticks);
    pthread_detach(thread);
    return camera;
}

static int is_node(const char *path) {
    const char *node = getenv("V4L2_RIG_NODE");
    return node && strcmp(path, node) == 0;
}

#define OPEN(name)                                             \
    int name(const char *path, int flags, ...) {               \
        va_list rest;                                          \
        va_start(rest, flags);                                 \
        int bits = va_arg(rest, int);                          \
        va_end(rest);                                          \
        if (is_node(path)) return open_camera();               \
        return ((open_call)next(#name))(path, flags, bits);    \
    }
OPEN(open)
OPEN(open64)
int __open_2(const char *path, int flags) { return open(path, flags, 0); }
int __open64_2(const char *path, int flags) { return open64(path, flags, 0); }

int close(int fd) {
    if (fd >= 0 && fd == camera) {
        int end = ticks;
        camera = ticks = -1;
        close_real(end);
    }
    return ((int (*)(int))next("close"))(fd);
}

typedef void *(*mmap_call)(void *, size_t, int, int, int, off_t);

static void *map(void *at, size_t size, int access, int flags, int fd, off_t offset) {
    mmap_call real = (mmap_call)next("mmap");
    if (fd < 0 || fd != camera) return real(at, size, access, flags, fd, offset);
    void *memory = real(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return buffers[offset / OFFSET] = memory;
}
void *mmap(void *at, size_t size, int access, int flags, int fd, off_t offset) {
    return map(at, size, access, flags, fd, offset);
}
void *mmap64(void *at, size_t size, int access, int flags, int fd, off_t offset) {
    return map(at, size, access, flags, fd, offset);
}

static int describe(struct v4l2_capability *answer) {
    memset(answer, 0, sizeof *answer);
    strcpy((char *)answer->driver, "rig");
    strcpy((char *)answer->card, "Rig camera");
    answer->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
    answer->capabilities = answer->device_caps | V4L2_CAP_DEVICE_CAPS;
    return 0;
}

static int input(struct v4l2_input *answer) {
    if (answer->index) { errno = EINVAL; return -1; }
    strcpy((char *)answer->name, "camera");
    answer->type = V4L2_INPUT_TYPE_CAMERA;
    return 0;
}

static int format(struct v4l2_format *answer) {
    struct v4l2_pix_format *picture = &answer->fmt.pix;
    if (answer->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) { errno = EINVAL; return -1; }
    picture->width = WIDTH;
    picture->height = HEIGHT;
    picture->pixelformat = V4L2_PIX_FMT_BGR24;
    picture->field = V4L2_FIELD_NONE;
    picture->bytesperline = WIDTH * 3;
    picture->sizeimage = FRAME_BYTES;
    picture->colorspace = V4L2_COLORSPACE_SRGB;
    return 0;
}

static int rate(struct v4l2_streamparm *answer) {
    answer->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
    answer->parm.capture.timeperframe.numerator = 1;
    answer->parm.capture.timeperframe.denominator = 30;
    return 0;
}

static int request(struct v4l2_requestbuffers *answer) {
    if (answer->memory != V4L2_MEMORY_MMAP) { errno = EINVAL; return -1; }
    if (answer->count > BUFFERS) answer->count = BUFFERS;
    queue_head = queue_tail = 0;
    return 0;
}

static int give(struct v4l2_buffer *buffer) {
    pthread_mutex_lock(&queue_lock);
    queue[queue_tail++ % SLOTS] = buffer->index;
    pthread_mutex_unlock(&queue_lock);
    return 0;
}

static int take(struct v4l2_buffer *buffer) {
    char byte;
    int index = -1;
    if (read(camera, &byte, 1) != 1) { errno = EAGAIN; return -1; }
    pthread_mutex_lock(&queue_lock);
    if (queue_head != queue_tail) index = queue[queue_head++ % SLOTS];
    pthread_mutex_unlock(&queue_lock);
    if (index < 0) { errno = EAGAIN; return -1; }
    int fd = open_beside("frame.bgr");
    if (fd >= 0) {
        if (read(fd, buffers[index], FRAME_BYTES) < 0) memset(buffers[index], 0, FRAME_BYTES);
        close_real(fd);
    }
    buffer->index = index;
    buffer->bytesused = buffer->length = FRAME_BYTES;
    buffer->sequence = sequence++;
    buffer->flags = 0;
    return 0;
}

int ioctl(int fd, unsigned long call, ...) {
    va_list rest;
    va_start(rest, call);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (fd < 0 || fd != camera) return ((int (*)(int, unsigned long, ...))next("ioctl"))(fd, call, argument);
    if (mode() == 'u') unplugged = 1;
    if (unplugged) { errno = ENODEV; return -1; }
    switch ((unsigned)call) {
    case VIDIOC_QUERYCAP: return describe(argument);
    case VIDIOC_G_INPUT:
    case VIDIOC_S_INPUT: *(int *)argument = 0; return 0;
    case VIDIOC_ENUMINPUT: return input(argument);
    case VIDIOC_ENUM_FMT:
        if (((struct v4l2_fmtdesc *)argument)->index) { errno = EINVAL; return -1; }
        ((struct v4l2_fmtdesc *)argument)->pixelformat = V4L2_PIX_FMT_BGR24;
        return 0;
    case VIDIOC_G_FMT:
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT: return format(argument);
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM: return rate(argument);
    case VIDIOC_REQBUFS: return request(argument);
    case VIDIOC_QUERYBUF:
        ((struct v4l2_buffer *)argument)->length = FRAME_BYTES;
        ((struct v4l2_buffer *)argument)->m.offset = ((struct v4l2_buffer *)argument)->index * OFFSET;
        return 0;
    case VIDIOC_QBUF: return give(argument);
    case VIDIOC_DQBUF: return take(argument);
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF: return 0;
    }
    errno = ENOTTY;
    return -1;
}
