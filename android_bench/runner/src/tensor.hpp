// Raw tensors: their files, what stands in where no file is given, and how far an output is from its reference.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace pocketnas {

// One model cannot be measured; the runner says so and goes on with the next.
struct ModelError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The model runs, but computes something else than its reference.
struct OutputError : ModelError {
  using ModelError::ModelError;
};

enum class ElementType { kFloat32, kFloat16, kInt8, kUint8, kInt16, kInt32, kInt64, kBool };

constexpr const char* kSupportedTypes =
    "; float32, float16, int8, uint8, int16, int32, int64 and bool are supported";

inline std::size_t element_bytes(ElementType type) {
  switch (type) {
    case ElementType::kInt8:
    case ElementType::kUint8:
    case ElementType::kBool:
      return 1;
    case ElementType::kFloat16:
    case ElementType::kInt16:
      return 2;
    case ElementType::kFloat32:
    case ElementType::kInt32:
      return 4;
    case ElementType::kInt64:
      return 8;
  }
  return 0;
}

struct TensorShape {
  ElementType type;
  std::size_t elements;

  std::size_t bytes() const { return elements * element_bytes(type); }
};

// Elements of a static shape. Throws on a dynamic one and on one too large for this process to mean it.
inline std::size_t count_elements(const std::int32_t* sizes, std::size_t rank, const std::string& which) {
  constexpr std::size_t kMaxElements = std::size_t{1} << 30;
  std::size_t elements = 1;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    if (sizes[axis] < 0) throw ModelError(which + " has a dynamic shape; export it with a fixed one");
    elements *= static_cast<std::size_t>(sizes[axis]);
    if (elements > kMaxElements) throw ModelError(which + " is too large");
  }
  return elements;
}

using Bytes = std::vector<unsigned char>;

inline Bytes read_tensor(const std::string& path, std::size_t expected_bytes) {
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) throw ModelError("cannot read " + path + ": " + std::strerror(errno));
  Bytes data(expected_bytes + 1);
  const std::size_t got = std::fread(data.data(), 1, data.size(), file);
  std::fclose(file);
  if (got != expected_bytes) {
    throw ModelError(path + " does not hold the " + std::to_string(expected_bytes) + " bytes of its tensor");
  }
  data.resize(expected_bytes);
  return data;
}

inline void write_tensor(const std::string& path, const Bytes& data) {
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr) throw ModelError("cannot write " + path + ": " + std::strerror(errno));
  const std::size_t written = std::fwrite(data.data(), 1, data.size(), file);
  if (std::fclose(file) != 0 || written != data.size()) throw ModelError("cannot write " + path);
}

// IEEE 754 binary16 by its bits; not every compiler that builds the runner knows it as a type.
struct Half {
  std::uint16_t bits;

  explicit operator double() const {
    const int exponent = (bits >> 10) & 0x1F;
    const int fraction = bits & 0x3FF;
    double value = 0.0;
    if (exponent == 0x1F) {
      value = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
    } else if (exponent == 0) {
      value = std::ldexp(fraction, -24);
    } else {
      value = std::ldexp(fraction + 0x400, exponent - 25);
    }
    return (bits & 0x8000) != 0 ? -value : value;
  }
};

// `steps` / 1024, exactly; steps from -1023 to 1023.
inline Half half_of(int steps) {
  if (steps == 0) return {0};
  int fraction = std::abs(steps);
  int exponent = 15;
  for (; fraction < 0x400; fraction <<= 1) --exponent;
  return {static_cast<std::uint16_t>((steps < 0 ? 0x8000 : 0) | (exponent << 10) | (fraction & 0x3FF))};
}

// The same numbers on every device: splitmix64 (Steele et al., 2014) from a fixed seed. Floats lie in [-1, 1), 8-bit
// and 16-bit integers fill their range, wider ones are 0 or 1 because they are mostly indices, as truth values are.
inline Bytes pseudo_random(const TensorShape& shape, std::uint64_t seed) {
  Bytes data(shape.bytes());
  std::uint64_t state = seed * 0x9E3779B97F4A7C15u;
  const std::size_t step = element_bytes(shape.type);
  for (std::size_t index = 0; index < shape.elements; ++index) {
    state += 0x9E3779B97F4A7C15u;
    std::uint64_t bits = state;
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
    bits ^= bits >> 31;
    unsigned char* place = data.data() + index * step;
    if (shape.type == ElementType::kFloat32) {
      const float value = static_cast<float>(bits >> 40) * 0x1p-23f - 1.0f;
      std::memcpy(place, &value, sizeof value);
    } else if (shape.type == ElementType::kFloat16) {
      const Half value = half_of(static_cast<int>(bits % 2047) - 1023);
      std::memcpy(place, &value, sizeof value);
    } else if (shape.type == ElementType::kBool) {
      *place = static_cast<unsigned char>(bits >> 63);
    } else if (step <= 2) {
      const std::uint64_t value = bits >> 48;
      std::memcpy(place, &value, step);  // little-endian: the low bytes come first
    } else {
      const std::int64_t value = static_cast<std::int64_t>(bits >> 63);
      std::memcpy(place, &value, step);
    }
  }
  return data;
}

template <class T>
double scaled_difference_of(const Bytes& output, const Bytes& reference) {
  double worst = 0.0;
  double scale = 0.0;
  for (std::size_t at = 0; at + sizeof(T) <= output.size(); at += sizeof(T)) {
    T got;
    T wanted;
    std::memcpy(&got, output.data() + at, sizeof got);
    std::memcpy(&wanted, reference.data() + at, sizeof wanted);
    const double difference = std::fabs(static_cast<double>(got) - static_cast<double>(wanted));
    if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, difference);
    scale = std::max(scale, std::fabs(static_cast<double>(wanted)));
  }
  return scale > 0.0 ? worst / scale : worst;
}

// max |output - reference| / max |reference|; where the reference is all zeros, max |output|. Infinite when an
// element of either is not finite.
inline double scaled_difference(ElementType type, const Bytes& output, const Bytes& reference) {
  switch (type) {
    case ElementType::kFloat32:
      return scaled_difference_of<float>(output, reference);
    case ElementType::kFloat16:
      return scaled_difference_of<Half>(output, reference);
    case ElementType::kInt8:
      return scaled_difference_of<std::int8_t>(output, reference);
    case ElementType::kUint8:
    case ElementType::kBool:
      return scaled_difference_of<std::uint8_t>(output, reference);
    case ElementType::kInt16:
      return scaled_difference_of<std::int16_t>(output, reference);
    case ElementType::kInt32:
      return scaled_difference_of<std::int32_t>(output, reference);
    case ElementType::kInt64:
      return scaled_difference_of<std::int64_t>(output, reference);
  }
  return std::numeric_limits<double>::infinity();
}

template <class T>
bool all_finite_of(const Bytes& data) {
  for (std::size_t at = 0; at + sizeof(T) <= data.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, data.data() + at, sizeof value);
    if (!std::isfinite(static_cast<double>(value))) return false;
  }
  return true;
}

inline bool all_finite(ElementType type, const Bytes& data) {
  if (type == ElementType::kFloat32) return all_finite_of<float>(data);
  if (type == ElementType::kFloat16) return all_finite_of<Half>(data);
  return true;
}

}  // namespace pocketnas
