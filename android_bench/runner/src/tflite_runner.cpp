// The runner for .tflite files, on LiteRT's C API as libLiteRt.so of the ai-edge-litert wheel exports it.
//
// The wheel brings no headers, so the few functions used are declared here, after LiteRT's documentation of its
// `litert/c/` API, with every handle an opaque pointer.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runner.hpp"

namespace {

using Status = int;
using Handle = void*;

constexpr int kAcceleratorCpu = 1;
constexpr int kLockForReading = 0;
constexpr int kLockForWriting = 1;
constexpr std::size_t kMaxRank = 8;

struct TensorLayout {
  unsigned int rank : 7;
  unsigned int has_strides : 1;
  std::int32_t dimensions[kMaxRank];
  std::uint32_t strides[kMaxRank];
};

struct TensorType {
  int element_type;
  TensorLayout layout;
};
static_assert(sizeof(TensorType) == 72, "LiteRT's ABI fixes this size");

struct AnyValue {
  int type;  // 2: integer
  std::int64_t integer;
};

struct EnvironmentOption {
  int tag;
  AnyValue value;
};

struct MemoryUse {
  std::size_t total, in_use, private_footprint;
};

struct ProfilerEvent {
  const char* tag;
  int type;
  std::uint64_t start_us;
  std::uint64_t elapsed_us;
  MemoryUse before, after;
  std::uint64_t node;
  std::uint64_t subgraph;
  int source;
};
static_assert(sizeof(ProfilerEvent) == 104 && offsetof(ProfilerEvent, node) == 80, "LiteRT's ABI fixes this layout");

constexpr int kEventOperator = 1 << 1;          // an operator that the interpreter runs itself
constexpr int kEventDelegateOperator = 1 << 2;  // one inside a delegate
constexpr int kEventDelegateProfiled = 1 << 3;  // the same, from delegates that profile each operator, as XNNPACK does

constexpr int kOptionAutoRegisterAccelerators = 24;
constexpr int kAnyInteger = 2;

}  // namespace

extern "C" {
Status LiteRtCreateEnvironment(int option_count, const EnvironmentOption* options, Handle* environment);
void LiteRtDestroyEnvironment(Handle environment);
Status LiteRtCreateModelFromFile(Handle environment, const char* path, Handle* model);
void LiteRtDestroyModel(Handle model);
Status LiteRtCreateOptions(Handle* options);
void LiteRtDestroyOptions(Handle options);
Status LiteRtSetOptionsHardwareAccelerators(Handle options, int accelerators);
Status LiteRtCreateOpaqueOptions(const char* identifier, void* payload, void (*free_payload)(void*), Handle* options);
Status LiteRtAddOpaqueOptions(Handle options, Handle opaque_options);
Status LiteRtCreateCompiledModel(Handle environment, Handle model, Handle options, Handle* compiled);
void LiteRtDestroyCompiledModel(Handle compiled);
Status LiteRtGetModelSignature(Handle model, std::size_t index, Handle* signature);
Status LiteRtGetNumSignatureInputs(Handle signature, std::size_t* count);
Status LiteRtGetNumSignatureOutputs(Handle signature, std::size_t* count);
Status LiteRtGetSignatureInputTensorByIndex(Handle signature, std::size_t index, Handle* tensor);
Status LiteRtGetSignatureOutputTensorByIndex(Handle signature, std::size_t index, Handle* tensor);
Status LiteRtGetRankedTensorType(Handle tensor, TensorType* type);
Status LiteRtGetCompiledModelInputBufferRequirements(Handle compiled, std::size_t signature, std::size_t index,
                                                     Handle* requirements);
Status LiteRtGetCompiledModelOutputBufferRequirements(Handle compiled, std::size_t signature, std::size_t index,
                                                      Handle* requirements);
Status LiteRtCreateManagedTensorBufferFromRequirements(Handle environment, const TensorType* type, Handle requirements,
                                                       Handle* buffer);
void LiteRtDestroyTensorBuffer(Handle buffer);
Status LiteRtGetTensorBufferSize(Handle buffer, std::size_t* bytes);
Status LiteRtLockTensorBuffer(Handle buffer, void** address, int mode);
Status LiteRtUnlockTensorBuffer(Handle buffer);
Status LiteRtRunCompiledModel(Handle compiled, std::size_t signature, std::size_t input_count, Handle* inputs,
                              std::size_t output_count, Handle* outputs);
Status LiteRtCompiledModelGetProfiler(Handle compiled, Handle* profiler);
Status LiteRtStartProfiler(Handle profiler);
Status LiteRtGetNumProfilerEvents(Handle profiler, int* count);
Status LiteRtGetProfilerEvents(Handle profiler, int count, ProfilerEvent* events);
Status LiteRtGetSignatureSubgraph(Handle signature, Handle* subgraph);
Status LiteRtGetNumSubgraphOps(Handle subgraph, std::size_t* count);
Status LiteRtGetSubgraphOp(Handle subgraph, std::size_t index, Handle* op);
Status LiteRtGetNumOpOutputs(Handle op, std::size_t* count);
Status LiteRtGetOpOutput(Handle op, std::size_t index, Handle* tensor);
Status LiteRtGetTensorName(Handle tensor, const char** name);
}

namespace {

using pocketnas::Bytes;
using pocketnas::DelegateCoverage;
using pocketnas::ElementType;
using pocketnas::ModelError;
using pocketnas::OperatorEvent;
using pocketnas::ProfileError;
using pocketnas::TensorShape;

// The library does not export its own names for these.
const char* status_name(Status status) {
  switch (status) {
    case 1:
      return "invalid argument";
    case 2:
      return "out of memory";
    case 3:
      return "runtime failure";
    case 5:
      return "unsupported";
    case 500:
      return "the file cannot be read";
    case 501:
      return "not a valid .tflite file";
    case 504:
      return "compilation failed";
    default:
      return "LiteRT's own error";
  }
}

void check(Status status, const char* what) {
  if (status != 0) {
    throw ModelError(std::string(what) + " failed: " + status_name(status) + " (" + std::to_string(status) + ")");
  }
}

// A LiteRT handle that is destroyed with its owner.
template <void (*Destroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Owned& operator=(Owned&&) = delete;
  ~Owned() {
    if (handle_ != nullptr) Destroy(handle_);
  }
  Handle get() const { return handle_; }
  Handle* fill() { return &handle_; }

 private:
  Handle handle_ = nullptr;
};

using Environment = Owned<LiteRtDestroyEnvironment>;
using TensorBuffer = Owned<LiteRtDestroyTensorBuffer>;

ElementType element_type(int litert_type, const std::string& which) {
  switch (litert_type) {
    case 1:
      return ElementType::kFloat32;
    case 2:
      return ElementType::kInt32;
    case 3:
      return ElementType::kUint8;
    case 4:
      return ElementType::kInt64;
    case 6:
      return ElementType::kBool;
    case 7:
      return ElementType::kInt16;
    case 9:
      return ElementType::kInt8;
    case 10:
      return ElementType::kFloat16;
    default:
      throw ModelError(which + " has element type " + std::to_string(litert_type) + pocketnas::kSupportedTypes);
  }
}

TensorShape shape_of(const TensorType& type, const std::string& which) {
  return {element_type(type.element_type, which),
          pocketnas::count_elements(type.layout.dimensions, type.layout.rank, which)};
}

// One input or output: its type and the memory that LiteRT wants for it.
struct Tensor {
  TensorShape shape;
  TensorBuffer buffer;
};

class LockedBuffer {
 public:
  LockedBuffer(Handle buffer, int mode) : buffer_(buffer) {
    check(LiteRtLockTensorBuffer(buffer, &address_, mode), "locking a tensor");
  }
  LockedBuffer(const LockedBuffer&) = delete;
  LockedBuffer& operator=(const LockedBuffer&) = delete;
  ~LockedBuffer() { LiteRtUnlockTensorBuffer(buffer_); }
  void* address() const { return address_; }

 private:
  Handle buffer_;
  void* address_ = nullptr;
};

enum class Profiling { kOff, kOn };

class LiteRtModel final : public pocketnas::ProfiledModel {
 public:
  LiteRtModel(Handle environment, const std::string& path, std::int64_t threads, Profiling profiling) {
    check(LiteRtCreateModelFromFile(environment, path.c_str(), model_.fill()), "reading the model");
    check(LiteRtCreateOptions(options_.fill()), "making options");
    check(LiteRtSetOptionsHardwareAccelerators(options_.get(), kAcceleratorCpu), "choosing the CPU");
    add_options("xnnpack", "num_threads = " + std::to_string(threads) + "\n");
    if (profiling == Profiling::kOn) add_options("runtime_options_string", "enable_profiling = true\n");
    check(LiteRtCreateCompiledModel(environment, model_.get(), options_.get(), compiled_.fill()),
          "preparing the model");
    if (profiling == Profiling::kOn) {
      check(LiteRtCompiledModelGetProfiler(compiled_.get(), &profiler_), "starting the profiler");
      if (profiler_ == nullptr) throw ProfileError("LiteRT gives no profiler");
    }
    Handle signature = nullptr;
    check(LiteRtGetModelSignature(model_.get(), 0, &signature), "finding the model's signature");
    check(LiteRtGetSignatureSubgraph(signature, &subgraph_), "finding the model's graph");
    std::size_t count = 0;
    check(LiteRtGetNumSignatureInputs(signature, &count), "counting inputs");
    for (std::size_t index = 0; index < count; ++index) {
      Handle tensor = nullptr;
      Handle needs = nullptr;
      check(LiteRtGetSignatureInputTensorByIndex(signature, index, &tensor), "finding an input");
      check(LiteRtGetCompiledModelInputBufferRequirements(compiled_.get(), 0, index, &needs), "sizing an input");
      add(environment, tensor, needs, "input " + std::to_string(index), inputs_, input_buffers_);
    }
    check(LiteRtGetNumSignatureOutputs(signature, &count), "counting outputs");
    for (std::size_t index = 0; index < count; ++index) {
      Handle tensor = nullptr;
      Handle needs = nullptr;
      check(LiteRtGetSignatureOutputTensorByIndex(signature, index, &tensor), "finding an output");
      check(LiteRtGetCompiledModelOutputBufferRequirements(compiled_.get(), 0, index, &needs), "sizing an output");
      add(environment, tensor, needs, "output " + std::to_string(index), outputs_, output_buffers_);
    }
  }

  std::vector<TensorShape> inputs() const override { return shapes(inputs_); }
  std::vector<TensorShape> outputs() const override { return shapes(outputs_); }

  void set_input(std::size_t index, const Bytes& data) override {
    const LockedBuffer lock(inputs_.at(index).buffer.get(), kLockForWriting);
    std::memcpy(lock.address(), data.data(), data.size());
  }

  Bytes output(std::size_t index) override {
    const Tensor& tensor = outputs_.at(index);
    const LockedBuffer lock(tensor.buffer.get(), kLockForReading);
    const auto* first = static_cast<const unsigned char*>(lock.address());
    return Bytes(first, first + tensor.shape.bytes());
  }

  void run() override {
    check(LiteRtRunCompiledModel(compiled_.get(), 0, input_buffers_.size(), input_buffers_.data(),
                                 output_buffers_.size(), output_buffers_.data()),
          "an invocation");
  }

  // Starting forgets what was noted; resetting would also stop it.
  void start_notes() override { check(LiteRtStartProfiler(profiler_), "starting the profiler"); }

  // XNNPACK reports the operators of one part of the graph after it ran that part, numbered from 0.
  std::vector<OperatorEvent> notes() override {
    int count = 0;
    check(LiteRtGetNumProfilerEvents(profiler_, &count), "reading the profile");
    std::vector<ProfilerEvent> events(static_cast<std::size_t>(count));
    if (count > 0) check(LiteRtGetProfilerEvents(profiler_, count, events.data()), "reading the profile");
    std::vector<OperatorEvent> result;
    own_nodes_.clear();
    parts_ = 0;
    one_graph_ = true;
    std::int64_t last_in_part = -1;
    for (const ProfilerEvent& event : events) {
      const auto node = static_cast<std::int64_t>(event.node);
      const auto ns = static_cast<std::int64_t>(event.elapsed_us) * 1000;
      if (event.type == kEventOperator) {
        last_in_part = -1;
        own_nodes_.insert(node);
        one_graph_ = one_graph_ && event.subgraph == 0;
        const std::string key = std::to_string(event.subgraph) + ":" + std::to_string(node);
        result.push_back({key, event.subgraph == 0 ? node_name(event.node) : "", event.tag, ns, kMicrosecond, false});
      } else if (event.type == kEventDelegateOperator || event.type == kEventDelegateProfiled) {
        if (last_in_part < 0 || node <= last_in_part) ++parts_;
        last_in_part = node;
        const std::string name = "part " + std::to_string(parts_ - 1) + ", operator " + std::to_string(node);
        result.push_back({name, name, event.tag, ns, kMicrosecond, true});
      }
    }
    return result;
  }

  // LiteRT does not say what it delegated, but the interpreter runs the rest itself and names it. With several graphs
  // (loops, branches) the numbers of their nodes would mix.
  std::vector<DelegateCoverage> delegates() override {
    if (parts_ == 0) return {};
    if (!one_graph_) return {{"XNNPACK", -1, -1, -1}};
    std::size_t count = 0;
    check(LiteRtGetNumSubgraphOps(subgraph_, &count), "counting operators");
    const auto of_nodes = static_cast<std::int64_t>(count);
    return {{"XNNPACK", of_nodes - static_cast<std::int64_t>(own_nodes_.size()), of_nodes, parts_}};
  }

 private:
  static constexpr std::int64_t kMicrosecond = 1000;

  // LiteRT takes options as TOML under the name of what they are for, and frees the text itself.
  void add_options(const char* whose, const std::string& toml) {
    Handle opaque = nullptr;
    check(LiteRtCreateOpaqueOptions(whose, strdup(toml.c_str()), std::free, &opaque), "setting options");
    check(LiteRtAddOpaqueOptions(options_.get(), opaque), "setting options");
  }

  // The name of a node's first output; nodes have none of their own.
  std::string node_name(std::size_t node) const {
    std::size_t count = 0;
    Handle op = nullptr;
    Handle tensor = nullptr;
    const char* name = nullptr;
    if (LiteRtGetNumSubgraphOps(subgraph_, &count) != 0 || node >= count) return "";
    if (LiteRtGetSubgraphOp(subgraph_, node, &op) != 0) return "";
    if (LiteRtGetNumOpOutputs(op, &count) != 0 || count == 0) return "";
    if (LiteRtGetOpOutput(op, 0, &tensor) != 0) return "";
    return LiteRtGetTensorName(tensor, &name) == 0 && name != nullptr ? name : "";
  }

  static void add(Handle environment, Handle tensor, Handle needs, const std::string& which,
                  std::vector<Tensor>& tensors, std::vector<Handle>& buffers) {
    TensorType type{};
    check(LiteRtGetRankedTensorType(tensor, &type), ("reading the shape of " + which).c_str());
    Tensor made{shape_of(type, which), TensorBuffer()};
    check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, needs, made.buffer.fill()),
          "making a tensor");
    std::size_t bytes = 0;
    check(LiteRtGetTensorBufferSize(made.buffer.get(), &bytes), "sizing a tensor");
    if (bytes < made.shape.bytes()) throw ModelError(which + " got less memory than its shape needs");
    buffers.push_back(made.buffer.get());
    tensors.push_back(std::move(made));
  }

  static std::vector<TensorShape> shapes(const std::vector<Tensor>& tensors) {
    std::vector<TensorShape> result;
    for (const Tensor& tensor : tensors) result.push_back(tensor.shape);
    return result;
  }

  // In this order: the compiled model uses the options and the model, the buffers use the compiled model.
  Owned<LiteRtDestroyModel> model_;
  Owned<LiteRtDestroyOptions> options_;
  Owned<LiteRtDestroyCompiledModel> compiled_;
  std::vector<Tensor> inputs_, outputs_;
  std::vector<Handle> input_buffers_, output_buffers_;
  // Both belong to what stands above.
  Handle profiler_ = nullptr;
  Handle subgraph_ = nullptr;
  // Of the last invocation that was noted: which nodes were not delegated, and in how many parts the others were.
  std::set<std::int64_t> own_nodes_;
  std::int64_t parts_ = 0;
  bool one_graph_ = true;
};

class LiteRt final : public pocketnas::Runtime {
 public:
  explicit LiteRt(std::int64_t threads) : threads_(threads) {
    // Without this LiteRT looks for GPU and NPU plug-ins on every start.
    const EnvironmentOption cpu_only{kOptionAutoRegisterAccelerators, {kAnyInteger, kAcceleratorCpu}};
    check(LiteRtCreateEnvironment(1, &cpu_only, environment_.fill()), "starting LiteRT");
  }

  std::unique_ptr<pocketnas::Model> load(const std::string& path) override {
    return std::make_unique<LiteRtModel>(environment_.get(), path, threads_, Profiling::kOff);
  }

  std::unique_ptr<pocketnas::ProfiledModel> load_profiled(const std::string& path) override {
    return std::make_unique<LiteRtModel>(environment_.get(), path, threads_, Profiling::kOn);
  }

 private:
  std::int64_t threads_;
  Environment environment_;
};

}  // namespace

int main(int argc, char** argv) {
  return pocketnas::runner_main(argc, argv, "tflite",
                                [](std::int64_t threads) { return std::make_unique<LiteRt>(threads); });
}
