// Lines that say whether they arrived whole: JSON, a tab, the CRC-32 of the JSON in eight hex digits. A plan may be
// damaged on a phone's disk and a result on its way to the host, and both would still be JSON with other numbers in it.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

namespace pocketnas {

// CRC-32 as zlib, PNG and gzip compute it (reflected polynomial EDB88320).
inline std::uint32_t crc32(std::string_view text) {
  static const std::array<std::uint32_t, 256> kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
      std::uint32_t value = byte;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1u ? 0xEDB88320u : 0u);
      table[byte] = value;
    }
    return table;
  }();
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char c : text) crc = kTable[(crc ^ static_cast<unsigned char>(c)) & 0xFFu] ^ (crc >> 8);
  return ~crc;
}

// A tab and the checksum of `text`, to stand behind it.
inline std::string checksum_suffix(std::string_view text) {
  char suffix[10];
  std::snprintf(suffix, sizeof suffix, "\t%08x", static_cast<unsigned>(crc32(text)));
  return suffix;
}

// What stands before the checksum, or nothing when the line is not what was written.
inline std::optional<std::string_view> checked_text(std::string_view line) {
  constexpr std::size_t kSuffixBytes = 9;
  if (line.size() < kSuffixBytes) return std::nullopt;
  const std::string_view text = line.substr(0, line.size() - kSuffixBytes);
  if (line.substr(text.size()) != checksum_suffix(text)) return std::nullopt;
  return text;
}

}  // namespace pocketnas
