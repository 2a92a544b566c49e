// When a model is warm.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace pocketnas {

// Warm means: the later half of the runs is no faster than the earlier one, by more than this share. A clock that
// rises, a cache that fills and memory that is touched for the first time all make the later runs the faster ones; that
// they are slower is heat or a neighbour, for which no warm-up helps.
constexpr double kStillWarming = 0.02;

// By the fastest run of each half, which is what the model can do by then: other work only ever adds time.
inline std::optional<bool> is_warm(const std::vector<std::int64_t>& runs) {
  const auto half = static_cast<std::ptrdiff_t>(runs.size() / 2);
  if (half == 0) return std::nullopt;
  const auto earlier = *std::min_element(runs.end() - 2 * half, runs.end() - half);
  const auto later = *std::min_element(runs.end() - half, runs.end());
  return static_cast<double>(later) >= (1.0 - kStillWarming) * static_cast<double>(earlier);
}

}  // namespace pocketnas
