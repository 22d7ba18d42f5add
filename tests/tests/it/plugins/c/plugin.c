/* A plugin in C: as small as one can be, and full of garbage where a test asks for it.
 *
 * What is wrong with the library as a whole is chosen with macros when it is compiled; what a run does, by the
 * content of its message, which is found in the parameters without a JSON parser: tests see to it that no other
 * field holds these words. */

/* For nanosleep and access. */
#define _POSIX_C_SOURCE 200809L

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "roundhouse_plugin.h"

#ifndef MINOR
#define MINOR RH_ABI_MINOR
#endif
#ifndef MIN_HOST_MINOR
#define MIN_HOST_MINOR 0
#endif
#ifndef FLAGS
#define FLAGS 0
#endif

static const rh_host *host;

static rh_str str(const char *text) {
    rh_str out = {(const uint8_t *)text, strlen(text)};
    return out;
}

static int contains(rh_str text, const char *word) {
    size_t length = strlen(word);
    for (size_t at = 0; at + length <= text.len; at++)
        if (memcmp(text.ptr + at, word, length) == 0) return 1;
    return 0;
}

/* The number behind a word, or 0. */
static unsigned long long number_behind(rh_str text, const char *word) {
    size_t length = strlen(word);
    char digits[32] = {0};
    for (size_t at = 0; at + length < text.len; at++) {
        if (memcmp(text.ptr + at, word, length) != 0) continue;
        size_t left = text.len - at - length;
        memcpy(digits, text.ptr + at + length, left < 31 ? left : 31);
        return strtoull(digits, NULL, 10);
    }
    return 0;
}

static int32_t emit(uint64_t scope, uint32_t kind, const char *name, rh_str text, const char *json) {
    rh_event event = {0};
    event.size = sizeof event;
    event.kind = kind;
    event.name = str(name);
    event.text = text;
    event.json = str(json);
    return host->emit(host->ctx, scope, &event);
}

static int32_t complete(uint64_t scope, uint32_t status, void *value, const char *json) {
    rh_completion completion = {0};
    completion.size = sizeof completion;
    completion.status = status;
    completion.value = value;
    completion.json = str(json);
    return host->complete(host->ctx, scope, &completion);
}

/* Ends a run and tells the answers that the host gave. */
static void finish(uint64_t scope, const char *content) {
    char json[256];
    snprintf(json, sizeof json, "{\"content\":\"%s\",\"from_a_later_release\":[1]}", content);
    complete(scope, RH_STATUS_FINISHED, NULL, json);
}

/* Does not return until a file is there, or the folder that it is to be in is gone, as with the test. */
#ifdef UNTIL
static void hang(void) {
    FILE *begun = fopen(UNTIL ".begun", "w");
    if (begun) fclose(begun);
    struct timespec moment = {0, 1000000};
    while (access(UNTIL, F_OK) != 0 && access(FOLDER, F_OK) == 0) nanosleep(&moment, NULL);
}
#else
static void hang(void) {}
#endif

/* Asks for the tools, and does not return from the answer. */
static void item(void *scope, rh_str json) {
    (void)scope;
    (void)json;
}

static void done(void *scope, int32_t status, rh_str json) {
    (void)status;
    (void)json;
    hang();
    complete(*(uint64_t *)scope, RH_STATUS_FINISHED, NULL, "");
    free(scope);
}

static void ask(uint64_t scope) {
    uint64_t *own = malloc(sizeof *own);
    *own = scope;
    rh_sink sink = {sizeof sink, own, item, done};
    host->request(host->ctx, scope, 1, str("tools/list"), str("{}"), &sink);
}

static int instance;

/* Set by `stop`, and waited for by runs that block. */
static atomic_int stopped;
static atomic_int blocking;

static void create(uint64_t scope, rh_str config, rh_str params) {
    (void)params;
    if (contains(config, "no_instance"))
        complete(scope, RH_STATUS_FINISHED, NULL, "");
    else if (contains(config, "null_completion"))
        host->complete(host->ctx, scope, NULL);
    else if (contains(config, "strange_status"))
        complete(scope, 4711, &instance, "");
    else
        complete(scope, RH_STATUS_FINISHED, &instance, "");
}

static void end(void *self, uint64_t scope) {
    (void)self;
    complete(scope, RH_STATUS_FINISHED, NULL, "");
}

static void garbage(uint64_t scope) {
    static const uint8_t no_utf8[] = {0xff, 0xfe, 0x80};
    rh_str bad = {no_utf8, sizeof no_utf8};
    rh_str nothing = {NULL, 3};
    rh_str endless = {no_utf8, (size_t)-1};
    char answers[128];
    rh_event none = {0};
    rh_event small = {0};
    small.size = 8;
    snprintf(answers, sizeof answers, "%d %d %d %d %d %d %d %d",
        emit(scope, RH_EVENT_STREAM_DELTA, "stream_delta", bad, ""),
        emit(scope, RH_EVENT_STREAM_DELTA, "stream_delta", nothing, ""),
        emit(scope, RH_EVENT_STREAM_DELTA, "stream_delta", endless, ""),
        emit(scope, RH_EVENT_TOOL_CALL, "tool_call", str(""), "{not json"),
        host->emit(host->ctx, scope, NULL),
        host->emit(host->ctx, scope, &none),
        host->emit(host->ctx, scope, &small),
        emit(scope + 1, RH_EVENT_STREAM_DELTA, "stream_delta", str("x"), ""));
    finish(scope, answers);
}

static void run(void *self, uint64_t scope, rh_str params) {
    char text[64];
    (void)self;
    if (contains(params, "\"garbage\"")) {
        garbage(scope);
    } else if (contains(params, "\"scope\"")) {
        /* Goes on until it is stopped. */
        snprintf(text, sizeof text, "%llu", (unsigned long long)scope);
        emit(scope, RH_EVENT_STREAM_DELTA, "stream_delta", str(text), "");
    } else if (contains(params, "foreign ")) {
        unsigned long long foreign = number_behind(params, "foreign ");
        snprintf(text, sizeof text, "%d %d",
            emit(foreign, RH_EVENT_STREAM_DELTA, "stream_delta", str("forged"), ""),
            complete(foreign, RH_STATUS_FINISHED, NULL, ""));
        finish(scope, text);
    } else if (contains(params, "\"newer\"")) {
        snprintf(text, sizeof text, "%d", emit(scope, 4711, "weather", str(""), "{\"sky\":\"blue\"}"));
        finish(scope, text);
    } else if (contains(params, "\"blocking\"")) {
        /* Against the rules: it ought to return at once. */
        atomic_store(&blocking, 1);
        emit(scope, RH_EVENT_STREAM_DELTA, "stream_delta", str("blocking"), "");
        while (!atomic_load(&stopped)) {
        }
        complete(scope, RH_STATUS_STOPPED, NULL, "{\"content\":\"stopped\"}");
    } else if (contains(params, "\"ask\"")) {
        ask(scope);
    } else if (contains(params, "\"hang\"")) {
        hang();
        complete(scope, RH_STATUS_FINISHED, NULL, "");
    } else if (contains(params, "\"bad_outcome\"")) {
        complete(scope, RH_STATUS_FINISHED, NULL, "{not json");
    } else if (contains(params, "\"no_outcome\"")) {
        complete(scope, RH_STATUS_FINISHED, NULL, "");
    } else if (contains(params, "\"twice\"")) {
        finish(scope, "first");
        /* Both must change nothing. */
        finish(scope, "second");
        emit(scope, RH_EVENT_STREAM_DELTA, "stream_delta", str("late"), "");
    } else {
        emit(scope, RH_EVENT_STREAM_DELTA, "stream_delta", str("hello from C"), "");
        finish(scope, "done");
    }
}

static void stop(void *self, uint64_t scope) {
    (void)self;
#ifdef STOP_HANGS
    hang();
#endif
    atomic_store(&stopped, 1);
    if (!atomic_load(&blocking)) complete(scope, RH_STATUS_STOPPED, NULL, "{}");
}

static void resume(void *self, uint64_t scope) {
    (void)self;
    (void)scope;
}

static int32_t describe(rh_writer out) {
    out.write(out.ctx, str("{\"summary\":\"An agent "));
    return out.write(out.ctx, str("in C.\",\"from_a_later_release\":1}"));
}

static int32_t describe_badly(rh_writer out) {
    return out.write(out.ctx, str("{not json"));
}

static const rh_agent agent = {sizeof agent, create, end, NULL, run, stop, resume};

/* --- a toolset and a mapper of garbage --- */

static void list(void *self, uint64_t scope) {
    (void)self;
    complete(scope, RH_STATUS_FINISHED, NULL, "{\"tools\":[{\"name\":\"garbage\"},{\"name\":\"good\",\"later\":1}]}");
}

static void call(void *self, uint64_t scope, rh_str name, rh_str args, rh_str params) {
    (void)self;
    (void)args;
    (void)params;
    complete(scope, RH_STATUS_FINISHED, NULL, contains(name, "good") ? "{\"text\":\"fine\"}" : "{not json");
}

static const rh_toolset toolset = {sizeof toolset, create, end, NULL, list, call, stop};

static uint64_t kinds(void *self) {
    (void)self;
    return UINT64_MAX;
}

static void *open_state(void *self, rh_str params) {
    (void)params;
    return self;
}

static int32_t map(void *state, const rh_event *event, rh_event_sink out) {
    static const uint8_t no_utf8[] = {0xff};
    rh_event made = *event;
    (void)state;
    if (contains(event->text, "unknown verdict")) return 4711;
    if (contains(event->text, "push and pass")) {
        out.push(out.ctx, &made);
        return RH_MAP_PASS;
    }
    if (contains(event->text, "bad utf8")) {
        made.text.ptr = no_utf8;
        made.text.len = 1;
        out.push(out.ctx, &made);
        return RH_MAP_REPLACE;
    }
    if (contains(event->text, "bad json")) {
        made.kind = RH_EVENT_TOOL_CALL;
        made.name = str("tool_call");
        made.json = str("{not json");
        out.push(out.ctx, &made);
        return RH_MAP_REPLACE;
    }
    if (contains(event->text, "null")) {
        out.push(out.ctx, NULL);
        return RH_MAP_REPLACE;
    }
    return RH_MAP_PASS;
}

static void close_state(void *state) {
    (void)state;
}

static const rh_mapper mapper = {sizeof mapper, create, end, kinds, open_state, map, close_state};

/* --- the library --- */

#define COMPONENT(variable, number, text, describes, table)                                                 \
    static rh_component variable = {sizeof(rh_component), number, 0, {(const uint8_t *)text, sizeof text - 1}, \
                                    describes, table}

COMPONENT(agent_component, RH_COMPONENT_AGENT, "agent", describe, &agent);
COMPONENT(badly_described, RH_COMPONENT_AGENT, "badly-described", describe_badly, &agent);
COMPONENT(toolset_component, RH_COMPONENT_TOOLSET, "tools", describe, &toolset);
COMPONENT(mapper_component, RH_COMPONENT_MAPPER, "mapper", describe, &mapper);
COMPONENT(unknown_component, 4711, "hologram", describe, NULL);

static const rh_component *const components[] = {
    &agent_component, &badly_described, &toolset_component, &mapper_component, &unknown_component,
};

static int32_t init(const rh_host *given) {
    host = given;
#ifdef INIT_HANGS
    hang();
#endif
#ifdef REFUSE
    return RH_ERR_UNSUPPORTED;
#else
    return RH_OK;
#endif
}

#ifndef SYMBOL
#define SYMBOL rh_plugin_v1
#endif

const rh_plugin *SYMBOL(void) {
    static const rh_plugin plugin = {
        sizeof(rh_plugin),
        MINOR,
        MIN_HOST_MINOR,
        FLAGS,
        sizeof components / sizeof components[0],
        components,
        {(const uint8_t *)"c-fixture", 9},
        {(const uint8_t *)"1.2.3", 5},
        {(const uint8_t *)"a C compiler", 12},
        init,
        NULL,
    };
#ifdef NO_DESCRIPTOR
    (void)plugin;
    return NULL;
#else
    return &plugin;
#endif
}
