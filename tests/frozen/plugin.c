/* The least plugin in C: an agent that says where it is from. */

#include <stdio.h>
#include <string.h>

#include "roundhouse_plugin.h"

static const rh_host *host;

static rh_str str(const char *text) {
    rh_str out = {(const uint8_t *)text, strlen(text)};
    return out;
}

static void complete(uint64_t scope, void *value, const char *json) {
    rh_completion completion = {0};
    completion.size = sizeof completion;
    completion.status = RH_STATUS_FINISHED;
    completion.value = value;
    completion.json = str(json);
    host->complete(host->ctx, scope, &completion);
}

static int32_t init(const rh_host *from) {
    host = from;
    return RH_OK;
}

static int32_t describe(rh_writer out) {
    return out.write(out.ctx, str("{\"summary\":\"An agent in C.\",\"config_schema\":{\"type\":\"object\"}}"));
}

static void create(uint64_t scope, rh_str config, rh_str params) {
    (void)config;
    (void)params;
    complete(scope, &host, "");
}

static void shut_down(void *instance, uint64_t scope) {
    (void)instance;
    complete(scope, NULL, "");
}

static void run(void *instance, uint64_t scope, rh_str params) {
    (void)instance;
    (void)params;
    rh_event event = {0};
    event.size = sizeof event;
    event.kind = RH_EVENT_STREAM_DELTA;
    event.name = str("stream_delta");
    event.text = str("hello from C");
    host->emit(host->ctx, scope, &event);
    complete(scope, NULL, "{\"content\":\"hello from C\"}");
}

static void nothing(void *instance, uint64_t scope) {
    (void)instance;
    (void)scope;
}

const rh_plugin *rh_plugin_v1(void) {
    static const rh_agent agent = {
        .size = sizeof agent,
        .create = create,
        .shutdown = shut_down,
        .run = run,
        .stop = nothing,
        .resume = nothing,
    };
    static rh_component component = {
        .size = sizeof component,
        .kind = RH_COMPONENT_AGENT,
        .describe = describe,
        .vtable = &agent,
    };
    static const rh_component *const components[] = {&component};
    static rh_plugin plugin = {
        .size = sizeof plugin,
        .abi_minor = RH_ABI_MINOR,
        .component_count = 1,
        .components = components,
        .init = init,
    };
    component.name = str("agent");
    plugin.name = str("frozen-c");
    plugin.version = str("1");
    plugin.built_with = str("a C compiler");
    return &plugin;
}
