/* A plugin in C that keeps every rule of the boundary, save the one that the environment variable FAULT names: for the
 * tests of `roundhouse plugin test`. An agent that answers from a thread of its own, a toolset of one, and a mapper. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "roundhouse_plugin.h"

static const rh_host *host;

static int faulty(const char *fault) {
    const char *chosen = getenv("FAULT");
    return chosen != NULL && strcmp(chosen, fault) == 0;
}

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

static int is_object(rh_str text) {
    return text.len >= 2 && text.ptr[0] == '{' && text.ptr[text.len - 1] == '}';
}

static void pause_ms(long ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

static int32_t emit(uint64_t scope, const char *text) {
    rh_event event = {0};
    event.size = sizeof event;
    /* A fault: the end is the host's own. */
    event.kind = faulty("event") ? RH_EVENT_STREAM_END : RH_EVENT_STREAM_DELTA;
    event.name = str(faulty("event") ? "stream_end" : "stream_delta");
    event.text = str(text);
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

static void failed(uint64_t scope, uint32_t kind, const char *text) {
    rh_completion completion = {0};
    completion.size = sizeof completion;
    completion.status = RH_STATUS_FAILED;
    completion.kind = kind;
    completion.text = str(text);
    host->complete(host->ctx, scope, &completion);
}

/* --- instances --- */

static int instance;
static atomic_int running;

static void create(uint64_t scope, rh_str config, rh_str params) {
    (void)params;
    if (faulty("starts")) return;
    if (!is_object(config) || contains(config, "hunter2")) {
        if (faulty("bad-config-crash")) abort();
        if (faulty("bad-config-internal")) {
            failed(scope, RH_FAILED_INTERNAL, "assertion failed");
            return;
        }
        failed(scope, RH_FAILED_CONFIG, faulty("bad-config-secret") ? "hunter2-never-show-this is wrong" : "no such key");
        return;
    }
    complete(scope, RH_STATUS_FINISHED, faulty("no-instance") ? NULL : &instance, "");
}

static void end(void *self, uint64_t scope) {
    (void)self;
    if (faulty("ends")) return;
    complete(scope, RH_STATUS_FINISHED, NULL, "");
}

/* --- the agent: a run is a thread, found again by its scope --- */

#define MOST 256

typedef struct {
    _Atomic uint64_t scope;
    atomic_int stopped;
    atomic_int resumed;
    int plain;
} run_state;

static run_state runs[MOST];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static run_state *find(uint64_t scope) {
    for (int at = 0; at < MOST; at++)
        if (atomic_load(&runs[at].scope) == scope) return &runs[at];
    return NULL;
}

static void finish(run_state *run, uint32_t status, const char *json) {
    uint64_t scope = atomic_load(&run->scope);
    if (faulty("twice")) complete(scope, status, NULL, json);
    if (faulty("memory")) {
        char *lost = malloc(16384);
        if (lost != NULL) memset(lost, 1, 16384);
    }
    atomic_store(&run->scope, 0);
    atomic_fetch_sub(&running, 1);
    complete(scope, status, NULL, faulty("works") ? "{not json" : json);
    if (faulty("after-end")) emit(scope, "late");
}

static void *answer(void *given) {
    run_state *run = given;
    uint64_t scope = atomic_load(&run->scope);
    if (faulty("concurrent") && atomic_load(&running) > 1) {
        finish(run, RH_STATUS_FINISHED, "{not json");
        return NULL;
    }
    static const char *const words[] = {"hello ", "from ", "C"};
    for (int at = 0; at < 3; at++) {
        if (atomic_load(&run->stopped) && !faulty("stop")) {
            finish(run, RH_STATUS_STOPPED, "{\"content\":\"stopped\"}");
            return NULL;
        }
        int before = atomic_load(&run->resumed);
        int32_t answered = emit(scope, words[at]);
        if (answered == RH_STOP || answered < 0) break;
        if (answered != RH_SLOW) continue;
        /* A fault: it waits for what never comes. */
        if (faulty("slow")) before = -1;
        while ((before < 0 || atomic_load(&run->resumed) == before) && (!atomic_load(&run->stopped) || faulty("stop"))) {
            static atomic_int patience;
            if (faulty("stop") && atomic_fetch_add(&patience, 1) > 4000) break;
            pause_ms(1);
        }
    }
    finish(run, RH_STATUS_FINISHED, "{\"content\":\"hello from C\"}");
    return NULL;
}

static void run(void *self, uint64_t scope, rh_str params) {
    (void)self;
    if (faulty("hostile-input") && !is_object(params)) abort();
    if (faulty("hang") && contains(params, "Hello there"))
        for (;;) pause_ms(1000);
    if (!is_object(params)) {
        failed(scope, RH_FAILED_AGENT, "the parameters are no object");
        return;
    }
    pthread_mutex_lock(&lock);
    run_state *state = find(0);
    if (state != NULL) {
        atomic_store(&state->stopped, 0);
        atomic_store(&state->scope, scope);
    }
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&running, 1);
    pthread_t thread;
    if (state == NULL || pthread_create(&thread, NULL, answer, state) != 0) {
        atomic_fetch_sub(&running, 1);
        failed(scope, RH_FAILED_AGENT, "too many runs at a time");
        return;
    }
    pthread_detach(thread);
}

static void stop(void *self, uint64_t scope) {
    (void)self;
    run_state *state = find(scope);
    if (state != NULL) atomic_store(&state->stopped, 1);
}

static void resume(void *self, uint64_t scope) {
    (void)self;
    run_state *state = find(scope);
    if (state != NULL) atomic_fetch_add(&state->resumed, 1);
}

static const rh_agent agent = {sizeof agent, create, end, NULL, run, stop, resume};

/* --- the toolset --- */

static void list(void *self, uint64_t scope) {
    (void)self;
    complete(scope, RH_STATUS_FINISHED, NULL,
        faulty("tool-schema")
            ? "{\"tools\":[{\"name\":\"upper\",\"input_schema\":{\"type\":\"nonsense\"}}]}"
            : "{\"tools\":[{\"name\":\"upper\",\"description\":\"Shouts.\",\"input_schema\":{\"type\":\"object\","
              "\"properties\":{\"text\":{\"type\":\"string\"}},\"required\":[\"text\"]}}]}");
}

static void call(void *self, uint64_t scope, rh_str name, rh_str args, rh_str params) {
    (void)self;
    (void)params;
    if (!contains(name, "upper") || !is_object(args)) {
        failed(scope, RH_FAILED_AGENT, "there is nothing to shout");
        return;
    }
    complete(scope, RH_STATUS_FINISHED, NULL, faulty("tool-result") ? "{not json" : "{\"text\":\"HELLO\"}");
}

static const rh_toolset toolset = {sizeof toolset, create, end, NULL, list, call, stop};

/* --- the mapper --- */

static uint64_t kinds(void *self) {
    (void)self;
    return UINT64_MAX;
}

static void *open_state(void *self, rh_str params) {
    (void)self;
    (void)params;
    return malloc(faulty("mapper-memory") ? 32768 : 16);
}

static int32_t map(void *state, const rh_event *event, rh_event_sink out) {
    (void)out;
    *(char *)state = 1;
    if (faulty("mapper-drops") && event->kind == RH_EVENT_STREAM_END) return RH_MAP_DROP;
    if (faulty("mapper-answer")) return 4711;
    return RH_MAP_PASS;
}

static void close_state(void *state) {
    if (faulty("mapper-memory")) {
        memset(state, 1, 32768);
        return;
    }
    free(state);
}

static const rh_mapper mapper = {sizeof mapper, create, end, kinds, open_state, map, close_state};

/* --- the library --- */

static int32_t describe(rh_writer out) {
    return out.write(out.ctx,
        str(faulty("schemas") ? "{\"summary\":\"In C.\",\"config_schema\":{\"type\":\"nonsense\"}}"
                              : "{\"summary\":\"In C.\",\"config_schema\":{\"type\":\"object\",\"properties\":{},"
                                "\"additionalProperties\":false}}"));
}

#define COMPONENT(variable, number, text, table)                                                            \
    static rh_component variable = {sizeof(rh_component), number, 0, {(const uint8_t *)text, sizeof text - 1}, \
                                    describe, table}

COMPONENT(agent_component, RH_COMPONENT_AGENT, "agent", &agent);
COMPONENT(toolset_component, RH_COMPONENT_TOOLSET, "tools", &toolset);
COMPONENT(mapper_component, RH_COMPONENT_MAPPER, "mapper", &mapper);

static const rh_component *const components[] = {&agent_component, &toolset_component, &mapper_component};

static int32_t init(const rh_host *given) {
    host = given;
    return RH_OK;
}

const rh_plugin *rh_plugin_v1(void) {
#define PLUGIN                                                                                                     \
    {sizeof(rh_plugin), RH_ABI_MINOR, 0, 0, sizeof components / sizeof components[0], components,                   \
        {(const uint8_t *)"nonconforming", 13}, {(const uint8_t *)"1.0.0", 5}, {(const uint8_t *)"a C compiler", 12}, \
        init, NULL}
    static const rh_plugin plugins[] = {PLUGIN, PLUGIN};
    static atomic_int calls;
    if (faulty("crash")) abort();
    return &plugins[faulty("descriptor") ? atomic_fetch_add(&calls, 1) % 2 : 0];
}
