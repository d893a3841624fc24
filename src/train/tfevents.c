#include "train/tfevents.h"

#include <string.h>

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Fields of tensorflow.Event, Summary.Value and SessionLog. */
enum {
    EVENT_WALL_TIME = 1,
    EVENT_STEP = 2,
    EVENT_FILE_VERSION = 3,
    EVENT_SUMMARY = 5,
    EVENT_SESSION_LOG = 7,
    SUMMARY_VALUE = 1,
    VALUE_TAG = 1,
    VALUE_SIMPLE = 2,
    SESSION_STATUS = 1,
    SESSION_START = 1
};

uint32_t tfevents_crc32c(const void *bytes, size_t size_bytes)
{
    const uint8_t *b = bytes;
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size_bytes; i++) {
        crc ^= b[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

static void put_little(buf *out, uint64_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        buf_char(out, (char)(value >> (8 * i)));
}

static void put_varint(buf *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_char(out, (char)(value | 0x80));
    buf_char(out, (char)value);
}

static void put_key(buf *out, int field, int wire)
{
    put_varint(out, (uint64_t)(field << 3 | wire));
}

static void put_bytes(buf *out, int field, const void *bytes, size_t size_bytes)
{
    put_key(out, field, WIRE_BYTES);
    put_varint(out, size_bytes);
    buf_append(out, bytes, size_bytes);
}

static void put_time_and_step(buf *out, double wall_time, int64_t step)
{
    uint64_t bits;
    memcpy(&bits, &wall_time, sizeof bits);
    put_key(out, EVENT_WALL_TIME, WIRE_FIXED64);
    put_little(out, bits, 8);
    if (step == 0)
        return; /* as protobuf leaves out what is zero */
    put_key(out, EVENT_STEP, WIRE_VARINT);
    put_varint(out, (uint64_t)step);
}

static uint32_t masked_crc(const void *bytes, size_t size_bytes)
{
    uint32_t crc = tfevents_crc32c(bytes, size_bytes);
    return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

/* Length, its check, the event, its check. The event goes away. */
static void put_record(buf *out, buf *event)
{
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)event->size_bytes >> (8 * i));
    out->failed = out->failed || event->failed;
    buf_append(out, length, sizeof length);
    put_little(out, masked_crc(length, sizeof length), 4);
    buf_append(out, event->data, event->size_bytes);
    put_little(out, masked_crc(event->data, event->size_bytes), 4);
    buf_free(event);
}

void tfevents_start(buf *out, double wall_time)
{
    static const char version[] = "brain.Event:2";
    buf event = {0};
    put_time_and_step(&event, wall_time, 0);
    put_bytes(&event, EVENT_FILE_VERSION, version, sizeof version - 1);
    put_record(out, &event);
}

void tfevents_session(buf *out, double wall_time, int64_t step)
{
    buf event = {0}, session = {0};
    put_key(&session, SESSION_STATUS, WIRE_VARINT);
    put_varint(&session, SESSION_START);
    put_time_and_step(&event, wall_time, step);
    put_bytes(&event, EVENT_SESSION_LOG, session.data, session.size_bytes);
    event.failed = event.failed || session.failed;
    buf_free(&session);
    put_record(out, &event);
}

void tfevents_scalar(buf *out, double wall_time, int64_t step, const char *tag, float value)
{
    buf event = {0}, summary = {0}, scalar = {0};
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_bytes(&scalar, VALUE_TAG, tag, strlen(tag));
    put_key(&scalar, VALUE_SIMPLE, WIRE_FIXED32);
    put_little(&scalar, bits, 4);
    put_bytes(&summary, SUMMARY_VALUE, scalar.data, scalar.size_bytes);
    put_time_and_step(&event, wall_time, step);
    put_bytes(&event, EVENT_SUMMARY, summary.data, summary.size_bytes);
    event.failed = event.failed || summary.failed || scalar.failed;
    buf_free(&scalar);
    buf_free(&summary);
    put_record(out, &event);
}
