// What the runner asks of the kernel: the clock, its place on the cores, and what happened to it while it measured.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "json.hpp"

namespace pocketnas {

// For tests: a clock that ticks no finer than this many nanoseconds, as those of many phones.
inline std::int64_t coarse_tick_ns() {
  const char* told = std::getenv("POCKETNAS_COARSE_CLOCK_NS");
  return told == nullptr ? 1 : std::max<std::int64_t>(1, std::strtoll(told, nullptr, 10));
}

inline const std::int64_t kCoarseTickNs = coarse_tick_ns();

inline std::int64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const std::int64_t ns = static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  return kCoarseTickNs == 1 ? ns : ns - ns % kCoarseTickNs;
}

// The smallest difference between two lengths of time that the clock was seen to tell. Lengths that are one nanosecond
// apart count as one: the kernel rounds ticks that are no whole number of nanoseconds. Reading the clock takes longer
// than most clocks' ticks, so a single length would not show them.
inline std::int64_t clock_tick_ns() {
  constexpr int kLengths = 4096;
  constexpr int kMostReadings = 20'000'000;
  std::vector<std::int64_t> lengths{0};
  std::int64_t last = now_ns();
  for (int reading = 0; reading < kMostReadings && lengths.size() < kLengths; ++reading) {
    const std::int64_t now = now_ns();
    if (now > last) lengths.push_back(now - last);
    last = now;
  }
  std::sort(lengths.begin(), lengths.end());
  std::int64_t tick = 0;
  std::int64_t known = 0;
  for (const std::int64_t length : lengths) {
    if (length <= known + 1) continue;
    tick = tick == 0 ? length - known : std::min(tick, length - known);
    known = length;
  }
  if (tick == 0) throw std::runtime_error("the clock stands still");
  return tick;
}

// A closed stream's number would go to the next file that is opened, and results or logs into that file. False when
// standard output is closed: there is nobody to tell.
inline bool claim_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) != -1) continue;
    if (stream == STDOUT_FILENO) return false;
    if (open("/dev/null", O_RDWR) != stream) return false;
  }
  return true;
}

// Must run before a library starts threads: a thread inherits the cores of the one that made it, at that moment.
inline void pin_to_cores(const std::vector<std::int64_t>& cores) {
  cpu_set_t wanted;
  CPU_ZERO(&wanted);
  for (const std::int64_t core : cores) {
    if (core < 0 || core >= CPU_SETSIZE) throw PlanError("core " + std::to_string(core) + " does not exist");
    CPU_SET(static_cast<std::size_t>(core), &wanted);
  }
  if (sched_setaffinity(0, sizeof wanted, &wanted) != 0) {
    throw PlanError(std::string("cannot run on the cores asked for: ") + std::strerror(errno));
  }
}

// The cores on which the calling thread was seen. The runtime's other threads are not looked at.
class CoresSeen {
 public:
  // Some nanoseconds where glibc reads it from memory that the kernel keeps current (rseq), a system call elsewhere:
  // so it stands outside what is timed.
  void note() {
    const int core = sched_getcpu();
    if (core >= 0 && core < CPU_SETSIZE) CPU_SET(static_cast<std::size_t>(core), &seen_);
  }

  // In rising order; empty where the kernel does not say.
  std::vector<std::int64_t> numbers() const {
    std::vector<std::int64_t> result;
    for (std::size_t core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &seen_)) result.push_back(static_cast<std::int64_t>(core));
    }
    return result;
  }

 private:
  cpu_set_t seen_{};
};

// The rest of the line of /proc/self/status that starts with `name`, or "" where it cannot be read.
inline std::string process_status(const std::string& name) {
  std::FILE* file = std::fopen("/proc/self/status", "re");
  if (file == nullptr) return "";
  char line[512];
  std::string value;
  while (std::fgets(line, sizeof line, file) != nullptr) {
    const std::string text(line);
    if (text.compare(0, name.size() + 1, name + ":") == 0) {
      const std::size_t first = text.find_first_not_of(" \t", name.size() + 1);
      const std::size_t last = text.find_last_not_of(" \t\n");
      if (first != std::string::npos && last >= first) value = text.substr(first, last - first + 1);
      break;
    }
  }
  std::fclose(file);
  return value;
}

// Makes VmHWM count from now, so that each model's peak is its own. False where the kernel refuses.
inline bool reset_peak_memory() {
  std::FILE* file = std::fopen("/proc/self/clear_refs", "we");
  if (file == nullptr) return false;
  const bool written = std::fputs("5", file) >= 0;
  return (std::fclose(file) == 0) && written;
}

// Highest resident size in kB since the last reset, or -1.
inline std::int64_t peak_memory_kb() {
  const std::string value = process_status("VmHWM");
  return value.empty() ? -1 : std::strtoll(value.c_str(), nullptr, 10);
}

struct ContextSwitches {
  std::int64_t voluntary;
  std::int64_t involuntary;
};

// Of all threads of this process: /proc/self/status would count the first thread alone.
inline ContextSwitches context_switches() {
  rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return {-1, -1};
  return {usage.ru_nvcsw, usage.ru_nivcsw};
}

// CPU time of all threads of this process so far.
inline std::int64_t cpu_ns() {
  timespec used;
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0) return -1;
  return static_cast<std::int64_t>(used.tv_sec) * 1'000'000'000 + used.tv_nsec;
}

// How long the threads of this process were ready to run while others had their cores, so far: the second number of
// /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst), summed up. -1 where the kernel keeps none.
inline std::int64_t waited_ns() {
  DIR* tasks = opendir("/proc/self/task");
  if (tasks == nullptr) return -1;
  std::int64_t sum = -1;
  while (const dirent* entry = readdir(tasks)) {
    if (entry->d_name[0] == '.') continue;
    std::FILE* file = std::fopen(("/proc/self/task/" + std::string(entry->d_name) + "/schedstat").c_str(), "re");
    if (file == nullptr) continue;
    long long ran = 0;
    long long waited = 0;
    if (std::fscanf(file, "%lld %lld", &ran, &waited) == 2 && waited >= 0) sum = (sum < 0 ? 0 : sum) + waited;
    std::fclose(file);
  }
  closedir(tasks);
  return sum;
}

// What was counted between two readings; -1 where one of them could not be had, or a thread ended in between.
inline std::int64_t counted_since(std::int64_t before, std::int64_t after) {
  return before < 0 || after < before ? -1 : after - before;
}

inline const char* abi_name() {
#if defined(__x86_64__)
  return "x86_64";
#elif defined(__aarch64__)
  return "arm64-v8a";
#else
#error "the runner is built for x86_64 and arm64-v8a"
#endif
}

}  // namespace pocketnas
