//! The spans of runs and tool calls that telemetry exports, named as the GenAI semantic conventions of OpenTelemetry
//! have it. Without telemetry they cost nothing, and the log never shows them: it has the span `run`.

use tracing::Span;
use tracing::field::Empty;

/// The target of spans that are exported, and of nothing else.
pub const TARGET: &str = "roundhouse::spans";

/// An agent at work, in a session's run or as a subagent in one.
pub fn invoke_agent(agent: &str, session: &str, run: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "invoke_agent",
        otel.name = format!("invoke_agent {agent}"),
        otel.status_code = Empty,
        gen_ai.operation.name = "invoke_agent",
        gen_ai.provider.name = "roundhouse",
        gen_ai.agent.name = agent,
        gen_ai.conversation.id = session,
        gen_ai.usage.output_tokens = Empty,
        error.type = Empty,
        roundhouse.run.id = run,
        roundhouse.run.status = Empty,
    )
}

/// A tool at work.
pub fn execute_tool(tool: &str, call_id: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "execute_tool",
        otel.name = format!("execute_tool {tool}"),
        otel.status_code = Empty,
        gen_ai.operation.name = "execute_tool",
        gen_ai.tool.name = tool,
        gen_ai.tool.call.id = call_id,
        error.type = Empty,
    )
}

/// Notes how it ended: a status, and for an error of which kind.
pub fn ended(span: &Span, status: &str, error: Option<&str>) {
    span.record("roundhouse.run.status", status);
    if let Some(error) = error {
        failed(span, error);
    }
}

/// Notes that it failed.
pub fn failed(span: &Span, error: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error);
}
