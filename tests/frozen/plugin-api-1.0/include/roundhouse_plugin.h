/* The C interface of Roundhouse plugins. SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Generated from src/abi/types.rs of the crate roundhouse-plugin-api; do not edit.
 *
 * A plugin is a dynamic library that exports one function, rh_plugin_v1, which is declared at the end. What
 * answers are called here, OK, SLOW and STOP, are RH_OK, RH_SLOW and RH_STOP. The JSON that crosses, such as
 * RunParams, is described in docs/schema/abi.
 *
 * Rules that every type here keeps, so that a library built today loads for as long as the major lives:
 *
 * - A struct that may grow starts with size, the bytes its writer knew; it is always passed by pointer and only
 *   grows at its end. A reader reads no field that size does not cover.
 * - Pointers handed to a function are borrowed for that call. Who keeps something copies it. Results go out
 *   through a writer that the caller passes in, so nobody frees what the other side allocated.
 * - Every function may be called from any thread and returns at once; what takes time ends with a call of
 *   rh_host.complete.
 * - No function may unwind, by a C++ exception for example.
 *
 * Strings are UTF-8 and not terminated; JSON is UTF-8 text of one value. */

#ifndef ROUNDHOUSE_PLUGIN_H
#define ROUNDHOUSE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

/**
 * The minor version of the boundary that this source describes. It counts the additions within a major.
 */
#define RH_ABI_MINOR 0

/**
 * rh_plugin.flags: the library was built with panic=abort, so a panic in it ends the process.
 */
#define RH_PLUGIN_PANIC_ABORT 1

/**
 * rh_component.kind: vtable is an rh_agent.
 */
#define RH_COMPONENT_AGENT 1

/**
 * rh_component.kind: vtable is an rh_toolset.
 */
#define RH_COMPONENT_TOOLSET 2

/**
 * rh_component.kind: vtable is an rh_mapper.
 */
#define RH_COMPONENT_MAPPER 3

/**
 * rh_mapper.map: the event goes on as it is.
 */
#define RH_MAP_PASS 0

/**
 * rh_mapper.map: the event is dropped.
 */
#define RH_MAP_DROP 1

/**
 * rh_mapper.map: the events pushed to the sink take the event's place.
 */
#define RH_MAP_REPLACE 2

/**
 * A custom event: name is its wire type, json an object, which is the wire message without type.
 */
#define RH_EVENT_CUSTOM 0

/**
 * text is the delta.
 */
#define RH_EVENT_STREAM_DELTA 1

/**
 * text is the delta.
 */
#define RH_EVENT_THINKING_DELTA 2

/**
 * Nothing.
 */
#define RH_EVENT_THINKING_END 3

/**
 * text is the thinking.
 */
#define RH_EVENT_TURN_THINKING 4

/**
 * text is the label, json is {"phase"}.
 */
#define RH_EVENT_PLANNING_STATUS 5

/**
 * json is the plan, any value.
 */
#define RH_EVENT_PLAN_READY 6

/**
 * id is the call's, json is {"tool", "args"}.
 */
#define RH_EVENT_TOOL_STARTED 7

/**
 * id is the call's, text is the result, json is {"tool", "args", "success", "metadata"}.
 */
#define RH_EVENT_TOOL_CALL 8

/**
 * text is the name, json is {"profile_id"}.
 */
#define RH_EVENT_PROFILE_SWITCHED 9

/**
 * text is the summary, json is {"messages_before", "messages_after"}.
 */
#define RH_EVENT_CONTEXT_COMPRESSED 10

/**
 * The host's own, seen by mappers only: nothing.
 */
#define RH_EVENT_STREAM_STOPPED 11

/**
 * The host's own, seen by mappers only: text is the content, json the other fields.
 */
#define RH_EVENT_STREAM_END 12

/**
 * The host's own, seen by mappers only: text is the message.
 */
#define RH_EVENT_ERROR 13

/**
 * rh_event.flags: the event is a subagent's.
 */
#define RH_EVENT_SUBAGENT 1

/**
 * rh_completion.status: it is done.
 */
#define RH_STATUS_FINISHED 0

/**
 * rh_completion.status: it saw the stop and ended for it.
 */
#define RH_STATUS_STOPPED 1

/**
 * rh_completion.status: it failed; kind and text say how.
 */
#define RH_STATUS_FAILED 2

/**
 * rh_completion.kind: what the component itself reports as gone wrong. Also any kind unknown to the host.
 */
#define RH_FAILED_AGENT 0

/**
 * rh_completion.kind: the backend knows no such session.
 */
#define RH_FAILED_SESSION_NOT_FOUND 1

/**
 * rh_completion.kind: the agent's own limit of iterations.
 */
#define RH_FAILED_MAX_ITERATIONS 2

/**
 * rh_completion.kind: a fault that the author did not foresee; a panic too.
 */
#define RH_FAILED_INTERNAL 3

/**
 * rh_completion.kind: the configuration does not do; text says which key and why.
 */
#define RH_FAILED_CONFIG 4

/**
 * Accepted. Every non-negative answer that a reader does not know means the same.
 */
#define RH_OK 0

/**
 * emit: accepted, and the library waits for resume before it emits more.
 */
#define RH_SLOW 1

/**
 * The scope is over, or was never this library's: nothing was changed.
 */
#define RH_STOP 2

/**
 * An argument is not what it must be (null, not UTF-8, not JSON, an event that is the host's alone).
 */
#define RH_ERR_INVALID -1

/**
 * Over a limit of the host's.
 */
#define RH_ERR_TOO_LARGE -2

/**
 * This host does not know that method or function.
 */
#define RH_ERR_UNSUPPORTED -3

/**
 * A fault on the callee's side, a caught panic too.
 */
#define RH_ERR_INTERNAL -4

/**
 * rh_sink.done: the request was refused or failed; the JSON is a
 * ServiceErrorData.
 */
#define RH_ERR_FAILED -5

/**
 * rh_sink.done: cancelled, by the caller or because its scope ended.
 */
#define RH_ERR_CANCELLED -6

/**
 * Levels of rh_log.level: the smaller the graver.
 */
#define RH_LOG_ERROR 1

/**
 * See RH_LOG_ERROR.
 */
#define RH_LOG_WARN 2

/**
 * See RH_LOG_ERROR.
 */
#define RH_LOG_INFO 3

/**
 * See RH_LOG_ERROR.
 */
#define RH_LOG_DEBUG 4

/**
 * See RH_LOG_ERROR.
 */
#define RH_LOG_TRACE 5

/**
 * A borrowed UTF-8 string. ptr may be null only when len is 0.
 */
typedef struct {
  /**
   * First byte.
   */
  const uint8_t *ptr;
  /**
   * Bytes.
   */
  size_t len;
} rh_str;

/**
 * The functions of an agent. None may be null, save where that is said.
 *
 * create, shutdown and run start something and return at once; it ends with one
 * rh_host.complete of the scope they were given.
 */
typedef struct {
  /**
   * Bytes of this struct that the library knows.
   */
  size_t size;
  /**
   * Makes an instance. config is the operator's table as JSON, already checked against the schema;
   * params is InstanceParams. Completes as finished with value set
   * to the instance (never null), or as failed. When that complete answers STOP the host no longer
   * wants the instance and the library frees it. scope stays valid as the instance's own until it was
   * shut down.
   */
  void (*create)(uint64_t scope, rh_str config, rh_str params);
  /**
   * Ends an instance; the host calls nothing of it afterwards. Completes scope, which is a new one.
   */
  void (*shutdown)(void *instance, uint64_t scope);
  /**
   * A session is gone for good; what the instance keeps of it can go. May be null.
   */
  void (*session_ended)(void *instance, rh_str session);
  /**
   * Starts a run. params is RunParams. Completes as finished or stopped
   * with json an Outcome, or as failed with kind and text.
   */
  void (*run)(void *instance, uint64_t scope, rh_str params);
  /**
   * Asks a run to stop. May be called more than once, and late.
   */
  void (*stop)(void *instance, uint64_t scope);
  /**
   * After an emit that answered SLOW: the run may go on. May be called late, and without need.
   */
  void (*resume)(void *instance, uint64_t scope);
} rh_agent;

/**
 * How something that the host started has ended.
 */
typedef struct {
  /**
   * Bytes of this struct that its writer knows.
   */
  size_t size;
  /**
   * RH_STATUS_….
   */
  uint32_t status;
  /**
   * RH_FAILED_… when the status is failed.
   */
  uint32_t kind;
  /**
   * The instance, for create; null otherwise.
   */
  void *value;
  /**
   * The error's text when the status is failed.
   */
  rh_str text;
  /**
   * The result, as the function says; empty where there is none.
   */
  rh_str json;
} rh_completion;

/**
 * Where a callee puts a result: it calls write any number of times, the pieces are concatenated.
 */
typedef struct {
  /**
   * Handed back to write; owned by whoever made the writer.
   */
  void *ctx;
  /**
   * Appends a piece. Answers 0, or a negative RH_ERR_… after which the callee gives up.
   */
  int32_t (*write)(void *ctx, rh_str piece);
} rh_writer;

/**
 * One component of a library. A host that does not know kind lists it as unsupported.
 */
typedef struct {
  /**
   * Bytes of this struct that the library knows.
   */
  size_t size;
  /**
   * RH_COMPONENT_….
   */
  uint32_t kind;
  /**
   * 0; room that keeps the next pointer aligned on every platform.
   */
  uint32_t reserved;
  /**
   * The name configuration uses, unique in the library and its kind: [a-z0-9_-]+.
   */
  rh_str name;
  /**
   * Writes the description as JSON (ComponentDescription):
   * summary and JSON Schema of the configuration. Needs no instance. Answers 0 or a negative RH_ERR_….
   */
  int32_t (*describe)(rh_writer out);
  /**
   * The functions, by kind.
   */
  const void *vtable;
} rh_component;

/**
 * An event, in either direction.
 */
typedef struct {
  /**
   * Bytes of this struct that its writer knows.
   */
  size_t size;
  /**
   * RH_EVENT_…. One that the reader does not know is carried as a custom event called name.
   */
  uint32_t kind;
  /**
   * RH_EVENT_SUBAGENT or 0; unknown bits are ignored.
   */
  uint32_t flags;
  /**
   * The wire type, always set.
   */
  rh_str name;
  /**
   * A tool call's or message's id; empty where there is none.
   */
  rh_str id;
  /**
   * The id of the call that this event belongs under; empty where there is none.
   */
  rh_str parent;
  /**
   * Text, as the kind says.
   */
  rh_str text;
  /**
   * JSON, as the kind says; empty where there is none.
   */
  rh_str json;
} rh_event;

/**
 * Where the host puts the answer to a request. The host copies the struct; ctx belongs to the library
 * and stays valid until done was called.
 */
typedef struct {
  /**
   * Bytes of this struct that the library knows.
   */
  size_t size;
  /**
   * Handed back to both functions.
   */
  void *ctx;
  /**
   * Something on the way to the answer (progress, a subagent's event) as JSON. 0..n times, never after done.
   */
  void (*item)(void *ctx, rh_str json);
  /**
   * The answer: RH_OK and its JSON, or a negative RH_ERR_…. Exactly once, perhaps before request returns.
   */
  void (*done)(void *ctx, int32_t status, rh_str json);
} rh_sink;

/**
 * A line of a library's log.
 */
typedef struct {
  /**
   * Bytes of this struct that the library knows.
   */
  size_t size;
  /**
   * The scope it belongs to, or 0.
   */
  uint64_t scope;
  /**
   * RH_LOG_….
   */
  uint32_t level;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Where in the library, by convention the module's path.
   */
  rh_str target;
  /**
   * The message.
   */
  rh_str message;
  /**
   * The fields as a JSON object, or empty.
   */
  rh_str fields;
} rh_log;

/**
 * What the host offers a library. One per library, valid for ever; ctx goes first into each function.
 *
 * A scope is the host's unguessable name for an instance, a run or a tool call. It works for the library
 * that it was given to and until it has ended; after that every function answers STOP and changes nothing.
 */
typedef struct {
  /**
   * Bytes of this struct that the host knows.
   */
  size_t size;
  /**
   * RH_ABI_MINOR of the host.
   */
  uint32_t abi_minor;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The library's identity with the host.
   */
  void *ctx;
  /**
   * Emits an event of a run, or reports progress of a tool call. Never blocks. Answers OK, SLOW, STOP
   * or an error.
   */
  int32_t (*emit)(void *ctx, uint64_t scope, const rh_event *event);
  /**
   * Says how what was started with scope has ended. Exactly once each; a second one answers STOP.
   */
  int32_t (*complete)(void *ctx, uint64_t scope, const rh_completion *completion);
  /**
   * Asks for a service; see the crate's wire module for methods and their JSON. id is the
   * caller's own name for the request, unique among its open ones in scope. After STOP or a negative
   * answer sink is never called; after any other its done is called exactly once.
   */
  int32_t (*request)(void *ctx, uint64_t scope, uint64_t id, rh_str method, rh_str params, const rh_sink *sink);
  /**
   * Cancels a request; its sink still gets done.
   */
  int32_t (*cancel)(void *ctx, uint64_t scope, uint64_t id);
  /**
   * Writes the bytes of an image of the run, by the handle in the run's parameters, in one piece that is
   * lent for the call of write.
   */
  int32_t (*image)(void *ctx, uint64_t scope, uint64_t handle, rh_writer out);
  /**
   * Adds a line to the host's log.
   */
  void (*log)(void *ctx, const rh_log *line);
} rh_host;

/**
 * What a library says of itself. Static: valid as long as the library is mapped, which is for ever.
 */
typedef struct {
  /**
   * Bytes of this struct that the library knows.
   */
  size_t size;
  /**
   * RH_ABI_MINOR of the API the library was built with.
   */
  uint32_t abi_minor;
  /**
   * The least abi_minor of a host that the library works with.
   */
  uint32_t min_host_minor;
  /**
   * RH_PLUGIN_… bits; unknown ones are ignored.
   */
  uint32_t flags;
  /**
   * Number of entries in components.
   */
  uint32_t component_count;
  /**
   * The components, an array of pointers so that rh_component can grow.
   */
  const rh_component *const *components;
  /**
   * The library's name, by convention its package name.
   */
  rh_str name;
  /**
   * The library's own version.
   */
  rh_str version;
  /**
   * What built it (API version, compiler). For people to read; never compared.
   */
  rh_str built_with;
  /**
   * Called once, before anything else of the library and after the host has checked this descriptor.
   * host stays valid for ever. Answers 0, or a negative RH_ERR_… to refuse.
   */
  int32_t (*init)(const rh_host *host);
  /**
   * The most verbose level the host wants to see (RH_LOG_…, 0 for none). May be called at any time
   * after init. Null: the library does not log.
   */
  void (*set_log_level)(uint32_t level);
} rh_plugin;

/**
 * The entry function. It runs no author code and answers the same static descriptor every time.
 */
typedef const rh_plugin *(*rh_entry)(void);

/**
 * Where a mapper puts the events that take the place of the one it got.
 */
typedef struct {
  /**
   * Handed back to push; owned by the host.
   */
  void *ctx;
  /**
   * Appends an event; it is copied before the call returns. Answers 0 or a negative RH_ERR_….
   */
  int32_t (*push)(void *ctx, const rh_event *event);
} rh_event_sink;

/**
 * The functions of an event mapper. An instance is its configuration; each run opens one state of it,
 * and no two calls on one state overlap. Everything but create and shutdown is synchronous and quick.
 */
typedef struct {
  /**
   * Bytes of this struct that the library knows.
   */
  size_t size;
  /**
   * As in rh_agent.
   */
  void (*create)(uint64_t scope, rh_str config, rh_str params);
  /**
   * As in rh_agent.
   */
  void (*shutdown)(void *instance, uint64_t scope);
  /**
   * Which events it wants: bit k for the kind k below 64; bit 0 for custom events and every kind from 64 up.
   */
  uint64_t (*kinds)(void *instance);
  /**
   * Opens the state of one run. params is MapperParams. Null: it failed.
   */
  void *(*open)(void *instance, rh_str params);
  /**
   * Maps one event. Answers RH_MAP_…, or a negative RH_ERR_…: then the run ends.
   */
  int32_t (*map)(void *state, const rh_event *event, rh_event_sink out);
  /**
   * Ends a state.
   */
  void (*close)(void *state);
} rh_mapper;

/**
 * The functions of a toolset; create, shutdown and session_ended as in rh_agent.
 */
typedef struct {
  /**
   * Bytes of this struct that the library knows.
   */
  size_t size;
  /**
   * As in rh_agent.
   */
  void (*create)(uint64_t scope, rh_str config, rh_str params);
  /**
   * As in rh_agent.
   */
  void (*shutdown)(void *instance, uint64_t scope);
  /**
   * As in rh_agent.
   */
  void (*session_ended)(void *instance, rh_str session);
  /**
   * Lists the tools. Completes with json a ToolList.
   */
  void (*list)(void *instance, uint64_t scope);
  /**
   * Calls a tool. args is JSON that the host has checked against the tool's schema; params is
   * ToolCallParams. Completes with json a
   * ToolOutputData, or as failed with text.
   */
  void (*call)(void *instance, uint64_t scope, rh_str name, rh_str args, rh_str params);
  /**
   * Asks a call to end. May be called more than once, and late.
   */
  void (*cancel)(void *instance, uint64_t scope);
} rh_toolset;

#endif  /* ROUNDHOUSE_PLUGIN_H */

#ifdef __cplusplus
extern "C" {
#endif

/** What a library exports: answers its static descriptor, and runs nothing else. */
extern const rh_plugin *rh_plugin_v1(void);

#ifdef __cplusplus
}
#endif
