// A stand-in for the parts of the ESP32's core that the Arduino example uses, over Linux sockets. A reading is
// the next number on standard input; at its end, the program ends. The serial port is standard output.
#pragma once
#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

inline unsigned long millis() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000ul + now.tv_nsec / 1000000;
}

inline void delay(unsigned long ms) { usleep(ms * 1000); }

inline int analogRead(uint8_t) {
  int reading;
  if (scanf("%d", &reading) != 1) exit(0);
  return reading;
}

struct StandInSerial {
  void begin(unsigned long) { setvbuf(stdout, nullptr, _IOLBF, 0); }
  size_t println(const char *line) { return printf("%s\n", line); }
};
inline StandInSerial Serial;

struct StandInWiFi {
  int begin(const char *, const char *) { return 3; }
};
inline StandInWiFi WiFi;

// As on the board: reads do not wait, the client is connected while something is left to read, and the
// destructor closes.
class WiFiClient {
 public:
  ~WiFiClient() { stop(); }
  int connect(const char *host, uint16_t port) {
    stop();
    addrinfo hints = {}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    char service[8];
    snprintf(service, sizeof service, "%u", unsigned(port));
    if (getaddrinfo(host, service, &hints, &found) != 0) return 0;
    fd_ = socket(found->ai_family, SOCK_STREAM, 0);
    bool connected = ::connect(fd_, found->ai_addr, found->ai_addrlen) == 0;
    freeaddrinfo(found);
    if (!connected) stop();
    return connected;
  }
  __attribute__((format(printf, 2, 3))) size_t printf(const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    ssize_t sent = send(fd_, text, length, MSG_NOSIGNAL);
    return sent < 0 ? 0 : sent;
  }
  int available() { return !ended_ && arrived(MSG_PEEK) ? 1 : 0; }
  int read() { return !ended_ && arrived(0) ? byte_ : -1; }
  uint8_t connected() {
    available();
    return fd_ >= 0 && !ended_;
  }
  void stop() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
    ended_ = false;
  }

 private:
  bool arrived(int flags) {
    ssize_t count = recv(fd_, &byte_, 1, MSG_DONTWAIT | flags);
    pollfd gone = {fd_, POLLHUP | POLLERR, 0};
    if (count == 0 || (count < 0 && poll(&gone, 1, 0) == 1)) ended_ = true;
    return count == 1;
  }
  int fd_ = -1;
  bool ended_ = false;
  uint8_t byte_ = 0;
};
