// A plan: what to measure and for how long. JSON lines with checksums: one `settings`, then one `model` a line.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checksum.hpp"
#include "json.hpp"

namespace pocketnas {

constexpr std::int64_t kSchemaVersion = 4;
constexpr std::int64_t kMaxRuns = 1'000'000;
constexpr std::int64_t kMaxProfileRuns = 1000;
constexpr std::int64_t kMaxNs = 3'600'000'000'000;

struct Settings {
  std::string runtime_version;
  std::int64_t threads = 1;
  std::vector<std::int64_t> cores;  // empty: wherever the scheduler likes
  std::int64_t models = 0;          // how many lines follow
};

struct ModelPlan {
  std::string id;
  std::string path;
  std::int64_t warmup_min_runs, warmup_min_ns, warmup_max_ns;
  std::int64_t min_runs, min_ns, max_runs, max_ns;
  std::vector<std::string> inputs;      // raw little-endian tensors; empty: pseudo-random
  std::vector<std::string> references;  // raw expected outputs; empty: outputs are only checked to be finite
  std::vector<std::string> output_paths;
  double max_output_error;
  std::int64_t profile_runs;  // 0: no profile
};

struct Plan {
  Settings settings;
  std::vector<ModelPlan> models;
};

inline Settings read_settings(JsonObject& line) {
  if (line.take_integer("schema_version", 0, kMaxRuns) != kSchemaVersion) {
    throw PlanError("this runner reads plans of schema version " + std::to_string(kSchemaVersion) + " only");
  }
  Settings settings;
  settings.runtime_version = line.take_string("runtime_version");
  settings.threads = line.take_integer("threads", 1, 1024);
  settings.cores = line.take_integers("cores");
  settings.models = line.take_integer("models", 1, kMaxRuns);
  return settings;
}

inline ModelPlan read_model(JsonObject& line) {
  ModelPlan model;
  model.id = line.take_string("id");
  model.path = line.take_string("path");
  model.warmup_min_runs = line.take_integer("warmup_min_runs", 0, kMaxRuns);
  model.warmup_max_ns = line.take_integer("warmup_max_ns", 0, kMaxNs);
  model.warmup_min_ns = line.take_integer("warmup_min_ns", 0, model.warmup_max_ns);
  model.max_runs = line.take_integer("max_runs", 1, kMaxRuns);
  model.min_runs = line.take_integer("min_runs", 1, model.max_runs);
  model.max_ns = line.take_integer("max_ns", 1, kMaxNs);
  model.min_ns = line.take_integer("min_ns", 0, model.max_ns);
  model.inputs = line.take_strings("inputs");
  model.references = line.take_strings("references");
  model.output_paths = line.take_strings("output_paths");
  model.max_output_error = line.take_number("max_output_error");
  model.profile_runs = line.take_integer("profile_runs", 0, kMaxProfileRuns);
  if (model.max_output_error < 0) throw PlanError("max_output_error is below zero");
  return model;
}

inline Plan read_plan(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw PlanError("cannot open it: " + std::string(std::strerror(errno)));
  Plan plan;
  std::string text;
  for (std::size_t number = 1; std::getline(file, text); ++number) {
    try {
      const std::optional<std::string_view> json = checked_text(text);
      if (!json) throw PlanError("it is damaged: its checksum is missing or wrong");
      JsonObject line = JsonReader(*json).read_object();
      const std::string type = line.take_string("type");
      if (type != (number == 1 ? "settings" : "model")) throw PlanError("unexpected type " + type);
      if (number == 1) {
        plan.settings = read_settings(line);
      } else {
        plan.models.push_back(read_model(line));
      }
      line.expect_all_taken();
    } catch (const PlanError& error) {
      throw PlanError("line " + std::to_string(number) + ": " + error.what());
    }
  }
  if (file.bad()) throw PlanError("cannot read it");
  if (plan.models.empty() || plan.settings.models != static_cast<std::int64_t>(plan.models.size())) {
    throw PlanError("it is damaged: it holds " + std::to_string(plan.models.size()) + " of its " +
                    std::to_string(plan.settings.models) + " models");
  }
  return plan;
}

}  // namespace pocketnas
