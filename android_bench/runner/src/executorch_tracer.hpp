// What ExecuTorch tells an EventTracer while it executes a method, kept as operators with their times.
//
// The wheel's libraries are built to report to a tracer, and its XNNPACK backend reports each operator that it ran,
// after each call. Written against the base class alone, so that the etdump library is not needed.
#pragma once

#include <executorch/runtime/core/event_tracer.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "profile.hpp"
#include "system.hpp"

namespace pocketnas {

class Tracer final : public executorch::runtime::EventTracer {
  using Index = executorch::runtime::DelegateDebugIntId;
  using Logged = executorch::runtime::Result<bool>;
  using Tensors = executorch::runtime::ArrayRef<executorch::aten::Tensor>;

 public:
  // Memory for the events of one invocation, so that none is allocated while an operator runs.
  Tracer() {
    events_.reserve(kMaxEvents);
    set_event_tracer_profiling_level(executorch::runtime::EventTracerProfilingLevel::kProfileAllEvents);
  }

  void clear() {
    events_.clear();
    lost_ = 0;
  }

  // The operators of the events since `clear`. A delegate that reports its operators stands for them, any other for
  // itself.
  std::vector<OperatorEvent> operators() const {
    if (lost_ > 0) throw ProfileError("it has more than " + std::to_string(kMaxEvents) + " events in one invocation");
    std::vector<OperatorEvent> result;
    for (std::size_t at = 0; at < events_.size(); ++at) {
      const Event& event = events_[at];
      const std::string place = std::to_string(event.chain) + ":" + std::to_string(event.instruction);
      if (is(event, "OPERATOR_CALL")) {
        const bool has_kernel = at + 1 < events_.size() && is_kernel(events_[at + 1]);
        const std::string_view kind = has_kernel ? kernel_name(events_[at + 1]) : "OPERATOR_CALL";
        result.push_back({place, "instruction " + place, std::string(kind), event.ns, 1, false});
      } else if (is(event, "DELEGATE_CALL")) {
        const std::size_t before = result.size();
        std::size_t next = at + 1;
        for (; next < events_.size() && events_[next].in_delegate; ++next) {
          const Event& inner = events_[next];
          result.push_back({place + "." + std::to_string(next - at), "instruction " + place + ", " + inner.name,
                            std::string(kind_of(inner.name)), inner.ns, inner.resolution_ns, true});
        }
        at = next - 1;
        if (result.size() == before) result.push_back({place, "instruction " + place, event.name, event.ns, 1, true});
      } else if (is(event, "MOVE_CALL") || is(event, "JF_CALL") || is(event, "FREE_CALL")) {
        result.push_back({place, "instruction " + place, event.name, event.ns, 1, false});
      }
    }
    return result;
  }

  executorch::runtime::EventTracerEntry start_profiling(const char* name, executorch::runtime::ChainID chain,
                                                        executorch::runtime::DebugHandle handle) override {
    const bool is_own = chain == executorch::runtime::kUnsetChainId &&
                        handle == executorch::runtime::kUnsetDebugHandle;
    return start(name, is_own ? chain_id_ : chain, is_own ? debug_handle_ : handle, false);
  }

  void end_profiling(executorch::runtime::EventTracerEntry entry) override { end(entry); }

  executorch::runtime::EventTracerEntry start_profiling_delegate(
      const char* name, executorch::runtime::DelegateDebugIntId index) override {
    const std::string numbered = "operator " + std::to_string(index);
    return start(name != nullptr ? name : numbered.c_str(), chain_id_, debug_handle_, true);
  }

  void end_profiling_delegate(executorch::runtime::EventTracerEntry entry, const void*, std::size_t) override {
    end(entry);
  }

  // XNNPACK reports here, after it ran. ExecuTorch's ticks on Linux and Android are nanoseconds; XNNPACK counts in
  // whole microseconds.
  void log_profiling_delegate(const char* name, executorch::runtime::DelegateDebugIntId index, et_timestamp_t begin,
                              et_timestamp_t finish, const void*, std::size_t) override {
    const auto entry = start_profiling_delegate(name, index);
    if (entry.event_id < 0) return;
    Event& event = events_[static_cast<std::size_t>(entry.event_id)];
    const et_tick_ratio_t ratio = et_pal_ticks_to_ns_multiplier();
    event.ns = static_cast<std::int64_t>((finish - begin) * ratio.numerator / ratio.denominator);
    event.resolution_ns = 1000;
  }

  // What follows are the other reports that a tracer may be given, none of them asked for here.
  void create_event_block(const char*) override {}
  void track_allocation(executorch::runtime::AllocatorID, std::size_t) override {}
  executorch::runtime::AllocatorID track_allocator(const char*) override { return 0; }
  void set_delegation_intermediate_output_filter(executorch::runtime::EventTracerFilterBase*) override {}
  Logged log_evalue(const executorch::runtime::EValue&, executorch::runtime::LoggedEValueType) override {
    return false;
  }
  Logged log_intermediate_output_delegate(const char*, Index, const executorch::aten::Tensor&) override {
    return false;
  }
  Logged log_intermediate_output_delegate(const char*, Index, const Tensors) override { return false; }
  Logged log_intermediate_output_delegate(const char*, Index, const int&) override { return false; }
  Logged log_intermediate_output_delegate(const char*, Index, const bool&) override { return false; }
  Logged log_intermediate_output_delegate(const char*, Index, const double&) override { return false; }

 private:
  static constexpr std::size_t kMaxEvents = 3 * kMaxOperators;

  struct Event {
    char name[kMaxNameBytes + 1];
    std::int64_t chain;
    std::int64_t instruction;
    std::int64_t started_ns;
    std::int64_t ns;
    std::int64_t resolution_ns;
    bool in_delegate;
  };

  static bool is(const Event& event, const char* name) {
    return !event.in_delegate && std::strcmp(event.name, name) == 0;
  }

  // A kernel names itself inside the call of its operator, e.g. native_call_add.out.
  static constexpr std::string_view kKernel = "native_call_";
  static bool is_kernel(const Event& event) {
    return !event.in_delegate && std::string_view(event.name).substr(0, kKernel.size()) == kKernel;
  }
  static std::string_view kernel_name(const Event& event) { return std::string_view(event.name + kKernel.size()); }

  // XNNPACK's names end in " #2" for the second of a kind.
  static std::string_view kind_of(std::string_view name) {
    const std::size_t number = name.rfind(" #");
    return number == std::string_view::npos ? name : name.substr(0, number);
  }

  executorch::runtime::EventTracerEntry start(const char* name, std::int64_t chain, std::int64_t instruction,
                                              bool in_delegate) {
    executorch::runtime::EventTracerEntry entry{};
    entry.event_id = -1;
    if (events_.size() == kMaxEvents) {
      ++lost_;
      return entry;
    }
    entry.event_id = static_cast<std::int64_t>(events_.size());
    events_.push_back({"", chain, instruction, 0, 0, 1, in_delegate});
    std::strncpy(events_.back().name, name, kMaxNameBytes);
    events_.back().started_ns = now_ns();
    return entry;
  }

  void end(const executorch::runtime::EventTracerEntry& entry) {
    const std::int64_t now = now_ns();
    if (entry.event_id < 0 || entry.event_id >= static_cast<std::int64_t>(events_.size())) return;
    Event& event = events_[static_cast<std::size_t>(entry.event_id)];
    event.ns = now - event.started_ns;
  }

  std::vector<Event> events_;
  std::int64_t lost_ = 0;
};

}  // namespace pocketnas
