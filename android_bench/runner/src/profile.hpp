// How long each operator of a model took, as its runtime reports it, summed up over several invocations.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "json.hpp"
#include "tensor.hpp"

namespace pocketnas {

constexpr std::size_t kMaxOperators = 4096;
constexpr std::size_t kMaxNameBytes = 128;

// The profile cannot be had, although the model was measured.
struct ProfileError : ModelError {
  using ModelError::ModelError;
};

// Names come from the model's file and may be anything. Cut between two characters of UTF-8.
inline std::string bounded_name(std::string_view name) {
  if (name.size() <= kMaxNameBytes) return std::string(name);
  std::size_t end = kMaxNameBytes;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0u) == 0x80u) --end;
  return std::string(name.substr(0, end > 0 ? end : kMaxNameBytes));
}

// One call of one operator.
struct OperatorEvent {
  std::string key;   // the same for each call of this operator, and for no other
  std::string name;  // which operator of the model it is
  std::string kind;  // what it does, in the runtime's words
  std::int64_t ns;
  std::int64_t resolution_ns;  // of the clock that the runtime took `ns` from
  std::optional<bool> delegated;
};

// How much of the model a delegate runs. Below zero: the runtime does not say.
struct DelegateCoverage {
  std::string name;
  std::int64_t nodes;
  std::int64_t of_nodes;
  std::int64_t partitions;
};

// The operators of a model in the order of their first call, over several invocations.
class OperatorTotals {
 public:
  void add(const std::vector<OperatorEvent>& invocation) {
    ++invocations_;
    for (const OperatorEvent& event : invocation) {
      const auto [found, is_new] = places_.emplace(event.key, operators_.size());
      if (is_new) {
        if (operators_.size() == kMaxOperators) {
          throw ProfileError("it has more than " + std::to_string(kMaxOperators) + " operators");
        }
        operators_.push_back({event, 0, 0, 0, {}});
      }
      Total& total = operators_[found->second];
      if (total.last_invocation != invocations_) total.invocation_ns.push_back(0);
      total.last_invocation = invocations_;
      total.invocation_ns.back() += event.ns;
      total.ns += event.ns;
      ++total.calls;
    }
  }

  bool empty() const { return operators_.empty(); }

  // An operator that an invocation calls several times counts with their sum.
  std::vector<JsonWriter> lines() const {
    std::vector<JsonWriter> lines;
    for (const Total& total : operators_) {
      JsonWriter writer;
      writer.field("index", static_cast<std::int64_t>(lines.size()))
          .field("name", bounded_name(total.first.name))
          .field("kind", bounded_name(total.first.kind))
          .field("median_ns", median(total.invocation_ns))
          .field("total_ns", total.ns)
          .field("calls", total.calls)
          .field("resolution_ns", total.first.resolution_ns)
          .field_or_null("delegated", total.first.delegated);
      lines.push_back(writer);
    }
    return lines;
  }

  // Between the two in the middle where their number is even.
  static std::int64_t median(std::vector<std::int64_t> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const std::size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : values[half - 1] + (values[half] - values[half - 1]) / 2;
  }

 private:
  struct Total {
    OperatorEvent first;
    std::int64_t ns;
    std::int64_t calls;
    std::int64_t last_invocation;
    std::vector<std::int64_t> invocation_ns;
  };

  std::int64_t invocations_ = 0;
  std::vector<Total> operators_;
  std::map<std::string, std::size_t> places_;
};

inline std::vector<JsonWriter> coverage_lines(const std::vector<DelegateCoverage>& delegates) {
  std::vector<JsonWriter> lines;
  for (const DelegateCoverage& delegate : delegates) {
    JsonWriter writer;
    writer.field("name", bounded_name(delegate.name))
        .field_or_null("nodes", delegate.nodes)
        .field_or_null("of_nodes", delegate.of_nodes)
        .field_or_null("partitions", delegate.partitions);
    lines.push_back(writer);
  }
  return lines;
}

}  // namespace pocketnas
