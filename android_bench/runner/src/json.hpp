// Flat JSON, one object a line: a strict reader of plans and a writer of results. Nesting is refused, but for arrays
// of strings or of whole numbers, because a plan needs no more and a parser that does less can be wrong in fewer ways.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "checksum.hpp"

namespace pocketnas {

// The plan cannot be read; the runner stops before it measures anything.
struct PlanError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

using JsonValue = std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, std::vector<std::int64_t>,
                               std::vector<std::string>>;

// The fields of one line. Every field must be taken, so that a misspelt one is an error and not a default.
class JsonObject {
 public:
  void put(std::string name, JsonValue value) {
    if (!fields_.emplace(std::move(name), std::move(value)).second) throw PlanError("a field stands twice");
  }

  bool has(const std::string& name) const { return fields_.count(name) > 0; }

  std::string take_string(const std::string& name) { return take<std::string>(name, "a string"); }

  std::int64_t take_integer(const std::string& name, std::int64_t low, std::int64_t high) {
    const auto value = take<std::int64_t>(name, "a whole number");
    if (value < low || value > high) throw PlanError(name + " is out of range");
    return value;
  }

  // A JSON number with or without a fraction.
  double take_number(const std::string& name) {
    const auto found = fields_.find(name);
    if (found != fields_.end() && std::holds_alternative<std::int64_t>(found->second)) {
      return static_cast<double>(take<std::int64_t>(name, "a number"));
    }
    return take<double>(name, "a number");
  }

  std::vector<std::string> take_strings(const std::string& name) {
    if (is_empty_array(name)) return {};
    return take<std::vector<std::string>>(name, "an array of strings");
  }

  std::vector<std::int64_t> take_integers(const std::string& name) {
    return take<std::vector<std::int64_t>>(name, "an array of whole numbers");
  }

  void expect_all_taken() const {
    if (!fields_.empty()) throw PlanError("unknown field " + fields_.begin()->first);
  }

 private:
  // An empty array reads as one of whole numbers.
  bool is_empty_array(const std::string& name) {
    const auto found = fields_.find(name);
    if (found == fields_.end()) return false;
    const auto* numbers = std::get_if<std::vector<std::int64_t>>(&found->second);
    if (numbers == nullptr || !numbers->empty()) return false;
    fields_.erase(found);
    return true;
  }

  template <class T>
  T take(const std::string& name, const char* expected) {
    const auto found = fields_.find(name);
    if (found == fields_.end()) throw PlanError("the field " + name + " is missing");
    T* value = std::get_if<T>(&found->second);
    if (value == nullptr) throw PlanError(name + " is not " + expected);
    T result = std::move(*value);
    fields_.erase(found);
    return result;
  }

  std::map<std::string, JsonValue> fields_;
};

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  JsonObject read_object() {
    JsonObject object;
    expect('{');
    if (peek() == '}') {
      ++at_;
    } else {
      do {
        std::string name = read_string();
        expect(':');
        object.put(std::move(name), read_value());
      } while (more('}'));
    }
    skip_space();
    if (at_ != text_.size()) fail("text after the object");
    return object;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw PlanError(what + " at column " + std::to_string(at_ + 1));
  }

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r')) ++at_;
  }

  char peek() {
    skip_space();
    if (at_ == text_.size()) fail("the line ends too early");
    return text_[at_];
  }

  void expect(char wanted) {
    if (peek() != wanted) fail(std::string("expected ") + wanted);
    ++at_;
  }

  // True after a comma, false after `close`.
  bool more(char close) {
    if (peek() == close) {
      ++at_;
      return false;
    }
    expect(',');
    return true;
  }

  bool literal(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  JsonValue read_value() {
    const char next = peek();
    if (next == '"') return read_string();
    if (next == '[') return read_array();
    if (literal("true")) return true;
    if (literal("false")) return false;
    if (literal("null")) return nullptr;
    return read_number();
  }

  JsonValue read_array() {
    expect('[');
    if (peek() == ']') {
      ++at_;
      return std::vector<std::int64_t>{};
    }
    if (peek() == '"') {
      std::vector<std::string> strings;
      do {
        strings.push_back(read_string());
      } while (more(']'));
      return strings;
    }
    std::vector<std::int64_t> numbers;
    do {
      peek();
      const JsonValue number = read_number();
      if (!std::holds_alternative<std::int64_t>(number)) fail("an array holds strings or whole numbers only");
      numbers.push_back(std::get<std::int64_t>(number));
    } while (more(']'));
    return numbers;
  }

  JsonValue read_number() {
    const std::size_t end = std::min(text_.find_first_not_of("+-.0123456789eE", at_), text_.size());
    const std::string token(text_.substr(at_, end - at_));
    std::int64_t whole = 0;
    const auto parsed = std::from_chars(token.data(), token.data() + token.size(), whole);
    if (!token.empty() && parsed.ec == std::errc() && parsed.ptr == token.data() + token.size()) {
      at_ = end;
      return whole;
    }
    char* stop = nullptr;
    const double real = token.empty() ? 0.0 : std::strtod(token.c_str(), &stop);
    if (token.empty() || stop != token.c_str() + token.size() || !std::isfinite(real)) fail("not a JSON value");
    at_ = end;
    return real;
  }

  std::string read_string() {
    expect('"');
    std::string result;
    while (true) {
      if (at_ == text_.size()) fail("a string does not end");
      const char c = text_[at_++];
      if (c == '"') return result;
      if (static_cast<unsigned char>(c) < 0x20) fail("a control character inside a string");
      if (c == '\\') {
        append_escape(result);
      } else {
        result += c;
      }
    }
  }

  void append_escape(std::string& result) {
    if (at_ == text_.size()) fail("a string does not end");
    const char c = text_[at_++];
    static constexpr std::string_view kNames = "\"\\/bfnrt";
    static constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
    const std::size_t known = kNames.find(c);
    if (known != std::string_view::npos) {
      result += kValues[known];
    } else if (c == 'u') {
      append_utf8(result, read_code_point());
    } else {
      fail("unknown escape");
    }
  }

  std::uint32_t read_hex4() {
    std::uint32_t value = 0;
    const std::string_view digits = text_.substr(at_, 4);
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 4 || parsed.ptr != digits.data() + 4) fail("\\u needs four hex digits");
    at_ += 4;
    return value;
  }

  std::uint32_t read_code_point() {
    const std::uint32_t high = read_hex4();
    if (high < 0xD800 || high > 0xDFFF) return high;
    if (high > 0xDBFF || !literal("\\u")) fail("half of a surrogate pair");
    const std::uint32_t low = read_hex4();
    if (low < 0xDC00 || low > 0xDFFF) fail("half of a surrogate pair");
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
  }

  void append_utf8(std::string& result, std::uint32_t code) {
    if (code == 0) fail("a string holds a null character");
    const auto tail = [&](int shift) { result += static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
    if (code < 0x80) {
      result += static_cast<char>(code);
    } else if (code < 0x800) {
      result += static_cast<char>(0xC0 | (code >> 6));
      tail(0);
    } else if (code < 0x10000) {
      result += static_cast<char>(0xE0 | (code >> 12));
      tail(6), tail(0);
    } else {
      result += static_cast<char>(0xF0 | (code >> 18));
      tail(12), tail(6), tail(0);
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

// Builds one object; `line()` ends it and adds its checksum.
class JsonWriter {
 public:
  JsonWriter& field(const char* name, std::string_view value) {
    key(name);
    append_string(value);
    return *this;
  }

  JsonWriter& field(const char* name, const char* value) { return field(name, std::string_view(value)); }

  JsonWriter& field(const char* name, std::int64_t value) {
    key(name);
    text_ += std::to_string(value);
    return *this;
  }

  // A value below zero means that it could not be read, and is written as null.
  JsonWriter& field_or_null(const char* name, std::int64_t value) {
    if (value >= 0) return field(name, value);
    key(name);
    text_ += "null";
    return *this;
  }

  JsonWriter& field_or_null(const char* name, double value) {
    key(name);
    char buffer[32];
    if (value >= 0 && std::isfinite(value)) {
      std::snprintf(buffer, sizeof buffer, "%.9g", value);
      text_ += buffer;
    } else {
      text_ += "null";
    }
    return *this;
  }

  JsonWriter& field(const char* name, const std::vector<std::int64_t>& values) {
    key(name);
    char separator = '[';
    for (const std::int64_t value : values) {
      text_ += separator;
      text_ += std::to_string(value);
      separator = ',';
    }
    text_ += values.empty() ? "[]" : "]";
    return *this;
  }

  JsonWriter& field(const char* name, const std::vector<JsonWriter>& objects) {
    key(name);
    text_ += '[';
    for (const JsonWriter& object : objects) {
      if (&object != &objects.front()) text_ += ',';
      text_ += object.text_ + "}";
    }
    text_ += ']';
    return *this;
  }

  JsonWriter& field_or_null(const char* name, const std::optional<bool>& value) {
    key(name);
    text_ += value ? (*value ? "true" : "false") : "null";
    return *this;
  }

  std::string line() const {
    const std::string text = text_ + "}";
    return text + checksum_suffix(text) + "\n";
  }

 private:
  void key(const char* name) {
    text_ += text_.size() > 1 ? "," : "";
    append_string(name);
    text_ += ':';
  }

  // Bytes of the UTF-8 character at the start of `text`, or 0 where there is none (RFC 3629, table 3-7 of Unicode).
  static std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
    const auto tails = [&](std::size_t first, std::size_t last) {
      for (std::size_t at = first; at <= last; ++at) {
        if ((byte(at) & 0xC0u) != 0x80u) return false;
      }
      return true;
    };
    const unsigned lead = byte(0);
    const unsigned next = byte(1);
    if (lead < 0x80) return 1;
    if (lead >= 0xC2 && lead <= 0xDF && tails(1, 1)) return 2;
    if (lead >= 0xE0 && lead <= 0xEF && tails(1, 2)) {
      return (lead == 0xE0 && next < 0xA0) || (lead == 0xED && next > 0x9F) ? 0 : 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4 && tails(1, 3)) {
      return (lead == 0xF0 && next < 0x90) || (lead == 0xF4 && next > 0x8F) ? 0 : 4;
    }
    return 0;
  }

  // Bytes that are not UTF-8 are written as \u00XX: what a library says may be in any encoding, JSON may not.
  void append_string(std::string_view value) {
    text_ += '"';
    while (!value.empty()) {
      const auto c = static_cast<unsigned char>(value.front());
      const std::size_t length = utf8_length(value);
      if (c == '"' || c == '\\') {
        text_ += '\\';
        text_ += static_cast<char>(c);
      } else if (length == 0 || c < 0x20) {
        char buffer[8];
        std::snprintf(buffer, sizeof buffer, "\\u%04x", c);
        text_ += buffer;
      } else {
        text_ += value.substr(0, length);
      }
      value.remove_prefix(length == 0 ? 1 : length);
    }
    text_ += '"';
  }

  std::string text_ = "{";
};

}  // namespace pocketnas
