// The runner for .pte files, on the C++ SDK inside the executorch wheel.
//
// What is timed is `Method::execute()`. Inputs are set again before every invocation, outside the timed section: the
// memory plan may give an input's place to a later tensor, so that a second invocation would compute on rubbish.
#include <executorch/extension/data_loader/file_data_loader.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/executor/memory_manager.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>
#include <executorch/runtime/platform/runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "executorch_tracer.hpp"
#include "runner.hpp"

// The wheel leaves out threadpool.h; these two are exported by libexecutorch_threadpool.so.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  bool _unsafe_reset_threadpool(std::uint32_t thread_count);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::aten::TensorShapeDynamism;
using executorch::extension::FileDataLoader;
using executorch::extension::MallocMemoryAllocator;
using executorch::extension::TensorPtr;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::HierarchicalAllocator;
using executorch::runtime::MemoryManager;
using executorch::runtime::Method;
using executorch::runtime::MethodMeta;
using executorch::runtime::Program;
using executorch::runtime::Result;
using executorch::runtime::Span;
using executorch::runtime::Tag;
using executorch::runtime::TensorInfo;
using pocketnas::Bytes;
using pocketnas::DelegateCoverage;
using pocketnas::ElementType;
using pocketnas::ModelError;
using pocketnas::OperatorEvent;
using pocketnas::TensorShape;

void check(Error error, const char* what) {
  if (error != Error::Ok) {
    throw ModelError(std::string(what) + " failed: " + executorch::runtime::to_string(error));
  }
}

template <class T>
T take(Result<T>&& result, const char* what) {
  check(result.error(), what);
  return std::move(result.get());
}

ElementType element_type(ScalarType type, const std::string& which) {
  switch (type) {
    case ScalarType::Float:
      return ElementType::kFloat32;
    case ScalarType::Half:
      return ElementType::kFloat16;
    case ScalarType::Bool:
      return ElementType::kBool;
    case ScalarType::Short:
      return ElementType::kInt16;
    case ScalarType::Char:
      return ElementType::kInt8;
    case ScalarType::Byte:
      return ElementType::kUint8;
    case ScalarType::Int:
      return ElementType::kInt32;
    case ScalarType::Long:
      return ElementType::kInt64;
    default:
      throw ModelError(which + " has scalar type " + std::to_string(static_cast<int>(type)) +
                       pocketnas::kSupportedTypes);
  }
}

TensorShape shape_of(const TensorInfo& info, const std::string& which) {
  return {element_type(info.scalar_type(), which),
          pocketnas::count_elements(info.sizes().data(), info.sizes().size(), which)};
}

// Zeroed memory at the start of a cache line, so that two loads of a model differ less.
class Memory {
 public:
  explicit Memory(std::size_t bytes)
      : bytes_(bytes), data_(static_cast<std::uint8_t*>(::operator new(bytes, kLine))) {
    std::memset(data_, 0, bytes);
  }
  Memory(Memory&& other) noexcept : bytes_(other.bytes_), data_(std::exchange(other.data_, nullptr)) {}
  Memory& operator=(Memory&&) = delete;
  ~Memory() { ::operator delete(data_, kLine); }
  std::uint8_t* data() const { return data_; }
  std::size_t size() const { return bytes_; }

 private:
  static constexpr std::align_val_t kLine{64};
  std::size_t bytes_;
  std::uint8_t* data_;
};

// One input: its bytes, and the tensor that lends them to the method.
struct Input {
  TensorShape shape;
  Memory data;
  TensorPtr tensor;
};

class ExecuTorchModel final : public pocketnas::ProfiledModel {
 public:
  // `tracer`: none where nothing is to be noted.
  ExecuTorchModel(const std::string& path, std::unique_ptr<pocketnas::Tracer> tracer)
      : loader_(take(FileDataLoader::from(path.c_str()), "reading the file")),
        program_(take(Program::load(&loader_, Program::Verification::InternalConsistency), "reading the program")),
        meta_(take(program_.method_meta("forward"), "finding the method forward")),
        tracer_(std::move(tracer)) {
    plan_memory();
    method_.emplace(take(program_.load_method("forward", &*memory_, tracer_.get()), "loading the method forward"));
    for (std::size_t index = 0; index < meta_.num_inputs(); ++index) add_input(index);
    for (std::size_t index = 0; index < meta_.num_outputs(); ++index) add_output(index);
  }

  std::vector<TensorShape> inputs() const override {
    std::vector<TensorShape> result;
    for (const Input& input : inputs_) result.push_back(input.shape);
    return result;
  }

  std::vector<TensorShape> outputs() const override { return outputs_; }

  void set_input(std::size_t index, const Bytes& data) override {
    std::memcpy(inputs_.at(index).data.data(), data.data(), data.size());
  }

  void restore_inputs() override {
    for (std::size_t index = 0; index < inputs_.size(); ++index) {
      check(method_->set_input(EValue(*inputs_[index].tensor), index), "setting an input");
    }
  }

  Bytes output(std::size_t index) override {
    const Tensor& tensor = method_->get_output(index).toTensor();
    if (tensor.nbytes() != outputs_.at(index).bytes()) {
      throw ModelError("output " + std::to_string(index) + " has another shape than the program says");
    }
    const auto* first = static_cast<const unsigned char*>(tensor.const_data_ptr());
    return Bytes(first, first + tensor.nbytes());
  }

  void run() override { check(method_->execute(), "an invocation"); }

  void start_notes() override { tracer_->clear(); }
  std::vector<OperatorEvent> notes() override { return tracer_->operators(); }

  // A program names the backend of each part that it delegates, but not how many nodes went into it.
  std::vector<DelegateCoverage> delegates() override {
    std::vector<DelegateCoverage> result;
    for (std::size_t index = 0; index < meta_.num_backends(); ++index) {
      const std::string name = take(meta_.get_backend_name(index), "reading the name of a backend");
      const auto same = [&](const DelegateCoverage& known) { return known.name == name; };
      const auto known = std::find_if(result.begin(), result.end(), same);
      if (known == result.end()) {
        result.push_back({name, -1, -1, 1});
      } else {
        ++known->partitions;
      }
    }
    return result;
  }

 private:
  void plan_memory() {
    for (std::size_t index = 0; index < meta_.num_memory_planned_buffers(); ++index) {
      const auto bytes = take(meta_.memory_planned_buffer_size(index), "reading the memory plan");
      planned_.emplace_back(static_cast<std::size_t>(bytes));
      spans_.emplace_back(planned_.back().data(), planned_.back().size());
    }
    planned_memory_.emplace(Span<Span<std::uint8_t>>(spans_.data(), spans_.size()));
    memory_.emplace(&method_allocator_, &*planned_memory_, &temporary_allocator_);
  }

  void add_input(std::size_t index) {
    const std::string which = "input " + std::to_string(index);
    if (take(meta_.input_tag(index), "reading an input") != Tag::Tensor) {
      throw ModelError(which + " is not a tensor");
    }
    const TensorInfo info = take(meta_.input_tensor_meta(index), "reading an input");
    const TensorShape shape = shape_of(info, which);
    refuse_dynamic(index, which);
    Input input{shape, Memory(shape.bytes()), nullptr};
    const auto sizes = info.sizes();
    const auto order = info.dim_order();
    input.tensor = executorch::extension::make_tensor_ptr(
        std::vector<executorch::aten::SizesType>(sizes.begin(), sizes.end()), input.data.data(),
        std::vector<executorch::aten::DimOrderType>(order.begin(), order.end()), {}, info.scalar_type());
    inputs_.push_back(std::move(input));
  }

  void add_output(std::size_t index) {
    const std::string which = "output " + std::to_string(index);
    if (take(meta_.output_tag(index), "reading an output") != Tag::Tensor) {
      throw ModelError(which + " is not a tensor");
    }
    const TensorInfo info = take(meta_.output_tensor_meta(index), "reading an output");
    outputs_.push_back(shape_of(info, which));
    if (info.is_memory_planned()) return;
    unplanned_.emplace_back(info.nbytes());
    check(method_->set_output_data_ptr(unplanned_.back().data(), info.nbytes(), index), "giving an output its memory");
  }

  // Only the loaded tensor knows whether its size is fixed; the method's meta data gives the largest size alone.
  void refuse_dynamic(std::size_t index, const std::string& which) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    const Tensor& tensor = method_->get_input(index).toTensor();
#pragma GCC diagnostic pop
    if (tensor.shape_dynamism() != TensorShapeDynamism::STATIC) {
      throw ModelError(which + " has a dynamic shape; export it with a fixed one");
    }
  }

  FileDataLoader loader_;
  Program program_;
  MethodMeta meta_;
  std::unique_ptr<pocketnas::Tracer> tracer_;
  MallocMemoryAllocator method_allocator_, temporary_allocator_;
  std::vector<Memory> planned_;
  std::vector<Span<std::uint8_t>> spans_;
  std::optional<HierarchicalAllocator> planned_memory_;
  std::optional<MemoryManager> memory_;
  std::vector<Input> inputs_;
  std::vector<TensorShape> outputs_;
  std::vector<Memory> unplanned_;
  std::optional<Method> method_;  // last, so that it goes first: it uses everything above
};

class ExecuTorch final : public pocketnas::Runtime {
 public:
  // The pool may change its size only before the first method is loaded; afterwards it crashes.
  explicit ExecuTorch(std::int64_t threads) {
    executorch::runtime::runtime_init();
    auto* pool = executorch::extension::threadpool::get_threadpool();
    if (pool == nullptr) throw ModelError("ExecuTorch has no thread pool; can this process read /proc/cpuinfo?");
    if (!pool->_unsafe_reset_threadpool(static_cast<std::uint32_t>(threads))) {
      throw ModelError("ExecuTorch's thread pool refuses " + std::to_string(threads) + " threads");
    }
  }

  std::unique_ptr<pocketnas::Model> load(const std::string& path) override {
    return std::make_unique<ExecuTorchModel>(path, nullptr);
  }

  std::unique_ptr<pocketnas::ProfiledModel> load_profiled(const std::string& path) override {
    return std::make_unique<ExecuTorchModel>(path, std::make_unique<pocketnas::Tracer>());
  }
};

}  // namespace

int main(int argc, char** argv) {
  return pocketnas::runner_main(argc, argv, "executorch",
                                [](std::int64_t threads) { return std::make_unique<ExecuTorch>(threads); });
}
