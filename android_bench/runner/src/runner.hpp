// The measurement itself, the same for every runtime: load, check, warm up, time each invocation, report.
#pragma once

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "json.hpp"
#include "plan.hpp"
#include "profile.hpp"
#include "system.hpp"
#include "tensor.hpp"
#include "warm.hpp"

namespace pocketnas {

// One loaded model of one runtime. Every method but `run` stays outside the timed section.
class Model {
 public:
  Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  virtual ~Model() = default;

  virtual std::vector<TensorShape> inputs() const = 0;
  virtual std::vector<TensorShape> outputs() const = 0;
  virtual void set_input(std::size_t index, const Bytes& data) = 0;
  virtual Bytes output(std::size_t index) = 0;
  // Brings back inputs that the last invocation may have overwritten.
  virtual void restore_inputs() {}
  virtual void run() = 0;
};

// A model whose runtime notes how long each operator takes. It is loaded apart from the one that is timed, since noting
// costs time.
class ProfiledModel : public Model {
 public:
  // Forgets what was noted so far.
  virtual void start_notes() = 0;
  // What was noted since then, in the order in which it happened.
  virtual std::vector<OperatorEvent> notes() = 0;
  virtual std::vector<DelegateCoverage> delegates() = 0;
};

// One runtime, set up for this process.
class Runtime {
 public:
  Runtime() = default;
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  virtual ~Runtime() = default;

  virtual std::unique_ptr<Model> load(const std::string& path) = 0;
  virtual std::unique_ptr<ProfiledModel> load_profiled(const std::string& path) = 0;
};

struct Measurement {
  std::int64_t load_ns = 0;
  std::int64_t first_ns = 0;
  std::int64_t started_ns = 0;
  std::vector<std::int64_t> warmup_ns;
  std::optional<bool> warmup_stable;  // nothing: too few runs to tell
  std::vector<std::int64_t> samples_ns;
  CoresSeen cores;
  double output_error = -1.0;  // below zero: there was no reference
  ContextSwitches switches{-1, -1};
  std::int64_t cpu_ns = -1;     // both while timing ran; below zero: the kernel does not say
  std::int64_t waited_ns = -1;
  std::int64_t peak_memory_kb = -1;
};

inline std::int64_t time_one(Model& model, CoresSeen& cores) {
  model.restore_inputs();
  cores.note();
  const std::int64_t before = now_ns();
  model.run();
  const std::int64_t after = now_ns();
  cores.note();
  return after - before;
}

// Until both minima are reached or either maximum is. `samples` has its memory already: nothing is allocated here.
inline void time_many(Model& model, std::int64_t min_runs, std::int64_t min_ns, std::int64_t max_runs,
                      std::int64_t max_ns, std::vector<std::int64_t>& samples, CoresSeen& cores) {
  const std::int64_t start = now_ns();
  while (true) {
    const auto runs = static_cast<std::int64_t>(samples.size());
    const std::int64_t elapsed = now_ns() - start;
    if (runs >= max_runs || (runs > 0 && elapsed >= max_ns)) return;
    if (runs >= min_runs && elapsed >= min_ns) return;
    samples.push_back(time_one(model, cores));
  }
}

// The least that was asked for; then half as many runs more each time, until the model is warm or `warmup_max_ns` is
// over. In halves, because what still changes after a time takes about as long to be seen.
inline std::optional<bool> warm_up(Model& model, const ModelPlan& plan, std::vector<std::int64_t>& runs,
                                   CoresSeen& cores) {
  if (plan.warmup_min_runs == 0 && plan.warmup_min_ns == 0) return std::nullopt;
  const std::int64_t start = now_ns();
  time_many(model, plan.warmup_min_runs, plan.warmup_min_ns, plan.max_runs, plan.max_ns, runs, cores);
  while (is_warm(runs) == std::optional<bool>(false)) {
    const auto done = static_cast<std::int64_t>(runs.size());
    const std::int64_t left_ns = std::min(plan.warmup_max_ns, plan.max_ns) - (now_ns() - start);
    const std::int64_t wanted = std::min(done + done / 2, plan.max_runs);
    if (left_ns <= 0 || wanted <= done) break;
    time_many(model, wanted, 0, plan.max_runs, left_ns, runs, cores);
  }
  return is_warm(runs);
}

inline void set_inputs(Model& model, const std::vector<std::string>& paths) {
  const std::vector<TensorShape> shapes = model.inputs();
  if (!paths.empty() && paths.size() != shapes.size()) {
    throw ModelError("it has " + std::to_string(shapes.size()) + " inputs, but the plan gives " +
                     std::to_string(paths.size()));
  }
  for (std::size_t index = 0; index < shapes.size(); ++index) {
    model.set_input(index, paths.empty() ? pseudo_random(shapes[index], index + 1)
                                         : read_tensor(paths[index], shapes[index].bytes()));
  }
}

inline std::vector<Bytes> read_references(const Model& model, const std::vector<std::string>& paths) {
  const std::vector<TensorShape> shapes = model.outputs();
  if (!paths.empty() && paths.size() != shapes.size()) {
    throw ModelError("it has " + std::to_string(shapes.size()) + " outputs, but the plan gives " +
                     std::to_string(paths.size()) + " references");
  }
  std::vector<Bytes> references;
  for (std::size_t index = 0; index < paths.size(); ++index) {
    references.push_back(read_tensor(paths[index], shapes[index].bytes()));
  }
  return references;
}

// The largest scaled difference over all outputs, or -1 without references. Throws when it is too large.
inline double check_outputs(Model& model, const std::vector<Bytes>& references, double max_error) {
  const std::vector<TensorShape> shapes = model.outputs();
  double worst = -1.0;
  for (std::size_t index = 0; index < shapes.size(); ++index) {
    const Bytes output = model.output(index);
    const bool compared = !references.empty();
    const double difference = compared ? scaled_difference(shapes[index].type, output, references[index]) : 0.0;
    // A difference that is finite has looked at every element already.
    if ((!compared || !std::isfinite(difference)) && !all_finite(shapes[index].type, output)) {
      throw OutputError("output " + std::to_string(index) + " is not finite");
    }
    if (!compared) continue;
    if (!(difference <= max_error)) {
      char text[128];
      std::snprintf(text, sizeof text, "output %zu differs from its reference by %.3g of its scale; %.3g is allowed",
                    index, difference, max_error);
      throw OutputError(text);
    }
    worst = difference > worst ? difference : worst;
  }
  return worst;
}

inline void write_outputs(Model& model, const std::vector<std::string>& paths) {
  if (paths.size() > model.outputs().size()) throw ModelError("the plan asks for more outputs than it has");
  for (std::size_t index = 0; index < paths.size(); ++index) write_tensor(paths[index], model.output(index));
}

inline Measurement measure(Runtime& runtime, const ModelPlan& plan) {
  Measurement result;
  result.warmup_ns.reserve(static_cast<std::size_t>(plan.max_runs));
  result.samples_ns.reserve(static_cast<std::size_t>(plan.max_runs));
  const bool own_peak = reset_peak_memory();

  const std::int64_t before_load = now_ns();
  const std::unique_ptr<Model> model = runtime.load(plan.path);
  result.load_ns = now_ns() - before_load;

  if (model->outputs().empty()) throw ModelError("it has no output, so it computes nothing");
  set_inputs(*model, plan.inputs);
  const std::vector<Bytes> references = read_references(*model, plan.references);
  CoresSeen before_timing;
  result.first_ns = time_one(*model, before_timing);
  result.output_error = check_outputs(*model, references, plan.max_output_error);
  write_outputs(*model, plan.output_paths);

  result.warmup_stable = warm_up(*model, plan, result.warmup_ns, before_timing);
  const ContextSwitches before = context_switches();
  const std::int64_t waited_before = waited_ns();
  const std::int64_t cpu_before = cpu_ns();
  result.started_ns = now_ns();
  time_many(*model, plan.min_runs, plan.min_ns, plan.max_runs, plan.max_ns, result.samples_ns, result.cores);
  result.cpu_ns = counted_since(cpu_before, cpu_ns());
  result.waited_ns = counted_since(waited_before, waited_ns());
  const ContextSwitches after = context_switches();

  result.switches = {after.voluntary - before.voluntary, after.involuntary - before.involuntary};
  const double last_error = check_outputs(*model, references, plan.max_output_error);
  result.output_error = last_error > result.output_error ? last_error : result.output_error;
  result.peak_memory_kb = own_peak ? peak_memory_kb() : -1;
  return result;
}

struct Profile {
  std::vector<std::int64_t> samples_ns;
  OperatorTotals operators;
  std::vector<DelegateCoverage> delegates;
};

// Runs a model that `measure` found to be right, with the same inputs, for no longer than timing may take.
inline Profile profile(Runtime& runtime, const ModelPlan& plan) {
  Profile result;
  const std::unique_ptr<ProfiledModel> model = runtime.load_profiled(plan.path);
  set_inputs(*model, plan.inputs);
  CoresSeen cores;
  time_one(*model, cores);
  const std::int64_t start = now_ns();
  for (std::int64_t run = 0; run < plan.profile_runs; ++run) {
    if (run > 0 && now_ns() - start >= plan.max_ns) break;
    model->start_notes();
    result.samples_ns.push_back(time_one(*model, cores));
    result.operators.add(model->notes());
  }
  if (result.operators.empty()) throw ProfileError("the runtime reports no operator of it");
  check_outputs(*model, read_references(*model, plan.references), plan.max_output_error);
  result.delegates = model->delegates();
  return result;
}

// Whole lines, at once: a reader that lives through the runner's death never sees half of one that was counted.
inline void emit(const JsonWriter& writer) {
  const std::string line = writer.line();
  if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::fflush(stdout) != 0) {
    std::fprintf(stderr, "pocketnas runner: nobody reads the results\n");
    std::_Exit(1);
  }
}

inline void emit_measurement(const std::string& id, std::int64_t sequence, const Measurement& result) {
  JsonWriter writer;
  writer.field("type", "measurement")
      .field("id", id)
      .field("sequence", sequence)
      .field("load_ns", result.load_ns)
      .field("first_ns", result.first_ns)
      .field("started_ns", result.started_ns)
      .field("warmup_ns", result.warmup_ns)
      .field_or_null("warmup_stable", result.warmup_stable)
      .field("samples_ns", result.samples_ns)
      .field_or_null("output_error", result.output_error)
      .field("cpus_allowed", process_status("Cpus_allowed"))
      .field("cores_ran", result.cores.numbers())
      .field_or_null("voluntary_switches", result.switches.voluntary)
      .field_or_null("involuntary_switches", result.switches.involuntary)
      .field_or_null("cpu_ns", result.cpu_ns)
      .field_or_null("waited_ns", result.waited_ns)
      .field_or_null("peak_rss_kb", result.peak_memory_kb);
  emit(writer);
}

inline void emit_error(const std::string& id, std::int64_t sequence, const char* kind, const char* message) {
  JsonWriter writer;
  writer.field("type", "error").field("id", id).field("sequence", sequence).field("kind", kind);
  emit(writer.field("message", message));
}

inline void emit_profile(const std::string& id, std::int64_t sequence, const Profile& result) {
  JsonWriter writer;
  writer.field("type", "profile")
      .field("id", id)
      .field("sequence", sequence)
      .field("runs", static_cast<std::int64_t>(result.samples_ns.size()))
      .field("median_run_ns", OperatorTotals::median(result.samples_ns))
      .field("operators", result.operators.lines())
      .field("delegates", coverage_lines(result.delegates));
  emit(writer);
}

// A model whose profile cannot be had has been measured all the same.
inline void run_profile(Runtime& runtime, const ModelPlan& model, std::int64_t sequence) {
  try {
    emit_profile(model.id, sequence, profile(runtime, model));
  } catch (const std::exception& error) {
    emit_error(model.id, sequence, "profile", error.what());
  }
}

// Runs the whole plan and returns the number of models that could not be measured.
inline std::int64_t run_plan(Runtime& runtime, const Plan& plan) {
  std::int64_t errors = 0;
  std::int64_t sequence = 0;
  for (const ModelPlan& model : plan.models) {
    try {
      emit_measurement(model.id, sequence, measure(runtime, model));
      if (model.profile_runs > 0) run_profile(runtime, model, sequence);
    } catch (const OutputError& error) {
      ++errors;
      emit_error(model.id, sequence, "output", error.what());
    } catch (const std::exception& error) {
      ++errors;
      emit_error(model.id, sequence, "model", error.what());
    }
    ++sequence;
  }
  return errors;
}

// `main` of every runner: RUNNER PLAN. `start` makes the runtime for a number of threads.
template <class Start>
int runner_main(int argc, char** argv, const char* runtime_name, Start start) {
  std::signal(SIGPIPE, SIG_IGN);  // a host that is gone is told by `emit`
  if (!claim_standard_streams()) {
    std::fprintf(stderr, "pocketnas runner: standard output is closed\n");
    return 1;
  }
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s PLAN.jsonl\n", argc > 0 ? argv[0] : "runner");
    return 2;
  }
  try {
    const Plan plan = read_plan(argv[1]);
    if (!plan.settings.cores.empty()) pin_to_cores(plan.settings.cores);
    const std::unique_ptr<Runtime> runtime = start(plan.settings.threads);
    JsonWriter hello;
    hello.field("type", "hello")
        .field("schema_version", kSchemaVersion)
        .field("runtime", runtime_name)
        .field("runtime_version", plan.settings.runtime_version)
        .field("abi", abi_name())
        .field("pid", static_cast<std::int64_t>(getpid()))
        .field("clock", "CLOCK_MONOTONIC")
        .field("tick_ns", clock_tick_ns());
    emit(hello);
    const std::int64_t errors = run_plan(*runtime, plan);
    JsonWriter done;
    done.field("type", "done").field("models", static_cast<std::int64_t>(plan.models.size())).field("errors", errors);
    emit(done.field_or_null("cpu_ns", cpu_ns()));
    return 0;
  } catch (const PlanError& error) {
    std::fprintf(stderr, "plan %s: %s\n", argv[1], error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "pocketnas runner: %s\n", error.what());
    return 1;
  }
}

}  // namespace pocketnas
