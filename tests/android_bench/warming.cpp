// The runner's own warm-up with a model whose every run takes as long as it is told, by a clock that nothing else moves.
//   warming judge                                      of each line of numbers: warm, warming or unknown
//   warming run MIN_RUNS MIN_NS MOST_NS MAX_RUNS NS...   the runs of a warm-up, and what became of it; the last time repeats
#include <time.h>

#include <cstdlib>
#include <iostream>
#include <sstream>

#include "runner.hpp"

namespace {

std::int64_t clock_ns = 1'000'000'000;

}  // namespace

// Stands in for the C library's: a neighbour's load would make a run longer than it was told to be.
extern "C" int clock_gettime(clockid_t, timespec* now) noexcept {
  *now = {static_cast<time_t>(clock_ns / 1'000'000'000), static_cast<long>(clock_ns % 1'000'000'000)};
  return 0;
}

namespace {

using pocketnas::Bytes;
using pocketnas::TensorShape;

class Told final : public pocketnas::Model {
 public:
  explicit Told(std::vector<std::int64_t> times) : times_(std::move(times)) {}
  std::vector<TensorShape> inputs() const override { return {}; }
  std::vector<TensorShape> outputs() const override { return {}; }
  void set_input(std::size_t, const Bytes&) override {}
  Bytes output(std::size_t) override { return {}; }
  void run() override { clock_ns += times_[std::min(at_++, times_.size() - 1)]; }

 private:
  std::vector<std::int64_t> times_;
  std::size_t at_ = 0;
};

const char* word(const std::optional<bool>& warm) { return !warm ? "unknown" : *warm ? "warm" : "warming"; }

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) {
    std::string line;
    while (std::getline(std::cin, line)) {
      std::istringstream numbers(line);
      std::vector<std::int64_t> runs;
      for (std::int64_t run; numbers >> run;) runs.push_back(run);
      std::cout << word(pocketnas::is_warm(runs)) << "\n";
    }
    return 0;
  }
  pocketnas::ModelPlan plan{};
  plan.warmup_min_runs = std::atoll(argv[2]);
  plan.warmup_min_ns = std::atoll(argv[3]);
  plan.warmup_max_ns = std::atoll(argv[4]);
  plan.max_runs = std::atoll(argv[5]);
  plan.max_ns = 10'000'000'000;
  std::vector<std::int64_t> times;
  for (int at = 6; at < argc; ++at) times.push_back(std::atoll(argv[at]));
  Told model(times);
  std::vector<std::int64_t> runs;
  pocketnas::CoresSeen cores;
  const std::optional<bool> warm = pocketnas::warm_up(model, plan, runs, cores);
  std::cout << runs.size() << " " << word(warm) << "\n";
  return 0;
}
