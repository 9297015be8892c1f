/* A USB bus in software for the real pcscd, preloaded into it: plays libudev, so that readers come and go on command,
 * and stands in for libccid as their driver (IFD handler 3.0).
 *
 * USB_BUS_DIR      a directory. `control` in it is a FIFO that takes lines, "add N" or "remove N" (N: 0 to 9);
 *                  reader N listens for a card on `readerN.sock`, in the protocol of vpcd.
 * USB_BUS_PRESENT  devices plugged in at the start, e.g. "01"
 * USB_BUS_ID       vendor and product as libccid's Info.plist lists them, e.g. "072f:2200"
 *
 * gcc -shared -fPIC -O2 -Wall -Wextra -I/usr/include/PCSC -o usb_bus.so usb_bus.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <ifdhandler.h>
#include <reader.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DEVICES 10

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

/* ---- libudev, as far as pcscd uses it ---- */

struct udev_device {
    int number;
    char action[8], sysname[16], node[32];
};

struct udev_list_entry {
    int index;
    char name[2];
};

static int bus; /* stands for every libudev object that has no content here */
static int control = -1;
static struct udev_list_entry entries[DEVICES];

void *udev_new(void) { return &bus; }
void *udev_unref(void *udev) { (void)udev; return NULL; }
void *udev_enumerate_new(void *udev) { return udev; }
void *udev_enumerate_unref(void *list) { (void)list; return NULL; }
int udev_enumerate_add_match_subsystem(void *list, const char *name) { (void)list; (void)name; return 0; }
int udev_enumerate_scan_devices(void *list) { (void)list; return 0; }

static struct udev_list_entry *entry(int index)
{
    const char *present = setting("USB_BUS_PRESENT");
    if (index >= DEVICES || index >= (int)strlen(present))
        return NULL;
    entries[index].index = index;
    entries[index].name[0] = present[index];
    return &entries[index];
}

struct udev_list_entry *udev_enumerate_get_list_entry(void *list) { (void)list; return entry(0); }
struct udev_list_entry *udev_list_entry_get_next(struct udev_list_entry *last) { return entry(last->index + 1); }
const char *udev_list_entry_get_name(struct udev_list_entry *which) { return which->name; }

static struct udev_device *device(int number, const char *action)
{
    struct udev_device *made = calloc(1, sizeof *made);
    made->number = number;
    snprintf(made->action, sizeof made->action, "%s", action);
    snprintf(made->sysname, sizeof made->sysname, "1-%d:1.0", number);
    snprintf(made->node, sizeof made->node, "/dev/bus/usb/001/%03d", number);
    return made;
}

struct udev_device *udev_device_new_from_syspath(void *udev, const char *path)
{
    (void)udev;
    return device(path[0] - '0', "add");
}

struct udev_device *udev_device_get_parent_with_subsystem_devtype(struct udev_device *child, const char *subsystem,
                                                                  const char *type)
{
    (void)subsystem;
    (void)type;
    return child;
}

struct udev_device *udev_device_unref(struct udev_device *done) { free(done); return NULL; }
const char *udev_device_get_devnode(struct udev_device *of) { return of->node; }
const char *udev_device_get_sysname(struct udev_device *of) { return of->sysname; }
const char *udev_device_get_action(struct udev_device *of) { return of->action; }

const char *udev_device_get_sysattr_value(struct udev_device *of, const char *key)
{
    static char vendor[5], product[5];
    const char *id = setting("USB_BUS_ID");
    (void)of;
    if (strlen(id) != 9)
        return NULL;
    memcpy(vendor, id, 4);
    memcpy(product, id + 5, 4);
    if (!strcmp(key, "idVendor"))
        return vendor;
    if (!strcmp(key, "idProduct"))
        return product;
    return strcmp(key, "bInterfaceNumber") ? NULL : "00";
}

void *udev_monitor_new_from_netlink(void *udev, const char *name)
{
    char path[256];
    (void)name;
    snprintf(path, sizeof path, "%s/control", setting("USB_BUS_DIR"));
    control = open(path, O_RDWR | O_CLOEXEC);
    return udev;
}

int udev_monitor_filter_add_match_subsystem_devtype(void *monitor, const char *subsystem, const char *type)
{
    (void)monitor;
    (void)subsystem;
    (void)type;
    return 0;
}

int udev_monitor_enable_receiving(void *monitor) { (void)monitor; return 0; }
int udev_monitor_get_fd(void *monitor) { (void)monitor; return control; }
void *udev_monitor_unref(void *monitor) { (void)monitor; return NULL; }

struct udev_device *udev_monitor_receive_device(void *monitor)
{
    char line[32], action[8];
    int length = 0, number;
    (void)monitor;
    while (length < (int)sizeof line - 1 && read(control, line + length, 1) == 1 && line[length] != '\n')
        length++;
    line[length] = 0;
    return sscanf(line, "%7s %d", action, &number) == 2 ? device(number, action) : NULL;
}

/* ---- pcscd loads libccid.so: give it this library, which is part of the program already ---- */

void *dlopen(const char *file, int flags)
{
    static void *(*real)(const char *, int);
    if (!real)
        real = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    return real(file && strstr(file, "libccid.so") ? NULL : file, flags);
}

/* ---- the readers' driver ---- */

struct reader {
    int door, card; /* listening socket; the card's connection or -1 */
    char path[108];
};

static struct reader readers[16];

static struct reader *reader_of(DWORD lun) { return &readers[(lun >> 16) & 15]; }

static void drop_card(struct reader *at)
{
    if (at->card >= 0)
        close(at->card);
    at->card = -1;
}

static int receive(int from, unsigned char *into, size_t count)
{
    for (size_t got = 0; got < count;) {
        ssize_t now = recv(from, into + got, count - got, 0);
        if (now <= 0)
            return -1;
        got += now;
    }
    return 0;
}

/* Sends a message to the card and takes its answer, at most `room` bytes; -1 if the card has gone. */
static int exchange(struct reader *at, const unsigned char *message, size_t count, unsigned char *answer, size_t room)
{
    unsigned char buffer[65536 + 2];
    size_t length;
    if (at->card < 0 || count > 65535)
        return -1;
    buffer[0] = count >> 8;
    buffer[1] = count & 255;
    memcpy(buffer + 2, message, count);
    if (send(at->card, buffer, count + 2, MSG_NOSIGNAL) < 0)
        goto gone;
    if (!answer)
        return 0;
    if (receive(at->card, buffer, 2))
        goto gone;
    length = buffer[0] << 8 | buffer[1];
    if (length > room || receive(at->card, answer, length))
        goto gone;
    return length;
gone:
    drop_card(at);
    return -1;
}

static int ask_atr(struct reader *at, unsigned char *atr)
{
    return exchange(at, (const unsigned char *)"\4", 1, atr, MAX_ATR_SIZE);
}

RESPONSECODE IFDHCreateChannelByName(DWORD Lun, LPSTR name)
{
    struct reader *at = reader_of(Lun);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *node = strrchr(name, '/');
    snprintf(at->path, sizeof at->path, "%s/reader%d.sock", setting("USB_BUS_DIR"), node ? atoi(node + 1) : 0);
    memcpy(address.sun_path, at->path, sizeof at->path);
    unlink(at->path);
    at->card = -1;
    at->door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(at->door, (struct sockaddr *)&address, sizeof address) || listen(at->door, 1))
        return IFD_COMMUNICATION_ERROR;
    return IFD_SUCCESS;
}

RESPONSECODE IFDHCreateChannel(DWORD Lun, DWORD channel) { (void)Lun; (void)channel; return IFD_NOT_SUPPORTED; }

RESPONSECODE IFDHCloseChannel(DWORD Lun)
{
    struct reader *at = reader_of(Lun);
    drop_card(at);
    close(at->door);
    unlink(at->path);
    return IFD_SUCCESS;
}

RESPONSECODE IFDHICCPresence(DWORD Lun)
{
    struct reader *at = reader_of(Lun);
    unsigned char atr[MAX_ATR_SIZE];
    if (at->card < 0)
        at->card = accept(at->door, NULL, NULL);
    return ask_atr(at, atr) > 0 ? IFD_ICC_PRESENT : IFD_ICC_NOT_PRESENT;
}

RESPONSECODE IFDHGetCapabilities(DWORD Lun, DWORD Tag, PDWORD Length, PUCHAR Value)
{
    int count;
    switch (Tag) {
    case TAG_IFD_ATR:
        count = ask_atr(reader_of(Lun), Value);
        *Length = count > 0 ? count : 0;
        return count > 0 ? IFD_SUCCESS : IFD_COMMUNICATION_ERROR;
    case TAG_IFD_SIMULTANEOUS_ACCESS:
        *Value = 16;
        break;
    case TAG_IFD_SLOTS_NUMBER:
    case TAG_IFD_THREAD_SAFE:
        *Value = 1;
        break;
    default:
        return IFD_ERROR_TAG;
    }
    *Length = 1;
    return IFD_SUCCESS;
}

RESPONSECODE IFDHSetCapabilities(DWORD Lun, DWORD Tag, DWORD Length, PUCHAR Value)
{
    (void)Lun, (void)Tag, (void)Length, (void)Value;
    return IFD_NOT_SUPPORTED;
}

RESPONSECODE IFDHSetProtocolParameters(DWORD Lun, DWORD Protocol, UCHAR Flags, UCHAR PTS1, UCHAR PTS2, UCHAR PTS3)
{
    (void)Lun, (void)Protocol, (void)Flags, (void)PTS1, (void)PTS2, (void)PTS3;
    return IFD_SUCCESS;
}

RESPONSECODE IFDHPowerICC(DWORD Lun, DWORD Action, PUCHAR Atr, PDWORD AtrLength)
{
    unsigned char order = Action == IFD_POWER_UP ? 1 : Action == IFD_RESET ? 2 : 0;
    int sent = exchange(reader_of(Lun), &order, 1, NULL, 0);
    *AtrLength = 0;
    if (!order)
        return IFD_SUCCESS;
    if (sent < 0)
        return IFD_COMMUNICATION_ERROR;
    return IFDHGetCapabilities(Lun, TAG_IFD_ATR, AtrLength, Atr);
}

RESPONSECODE IFDHTransmitToICC(DWORD Lun, SCARD_IO_HEADER SendPci, PUCHAR TxBuffer, DWORD TxLength, PUCHAR RxBuffer,
                               PDWORD RxLength, PSCARD_IO_HEADER RecvPci)
{
    int count = exchange(reader_of(Lun), TxBuffer, TxLength, RxBuffer, *RxLength);
    if (RecvPci)
        RecvPci->Protocol = SendPci.Protocol;
    *RxLength = count < 0 ? 0 : count;
    return count < 0 ? IFD_COMMUNICATION_ERROR : IFD_SUCCESS;
}

/* The reader itself takes the command for buzzer and lights, and nothing else: it answers 9000 and notes it. */
RESPONSECODE IFDHControl(DWORD Lun, DWORD Code, PUCHAR TxBuffer, DWORD TxLength, PUCHAR RxBuffer, DWORD RxLength,
                         LPDWORD Returned)
{
    char path[128];
    FILE *notes;
    *Returned = 0;
    if (Code != SCARD_CTL_CODE(1) || TxLength != 9 || RxLength < 2 || memcmp(TxBuffer, "\xFF\x00\x40", 3))
        return IFD_ERROR_NOT_SUPPORTED;
    snprintf(path, sizeof path, "%s.signals", reader_of(Lun)->path);
    notes = fopen(path, "a");
    if (notes) {
        fputs("played\n", notes);
        fclose(notes);
    }
    memcpy(RxBuffer, "\x90\x00", 2);
    *Returned = 2;
    return IFD_SUCCESS;
}
