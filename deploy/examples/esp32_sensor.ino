// An ESP32 with Arduino that reports a reading to firstline. (ESP8266: include <ESP8266WiFi.h>, and read A0.)
//
// A report is sent again until the server acknowledges it, or a handler has refused it or may have done it; no other is
// made meanwhile. One may be there twice, if the server went away before its ACK.
#include <WiFi.h>
const char *SSID = "my-network", *PASSWORD = "my-password", *HOST = "192.168.1.10";
const uint16_t PORT = 9090;
const char *FIRST = "";  // Line 1: "/auth TOKEN" where the server asks for one. A blank line gets no reply.
const unsigned long EVERY_MS = 60000, TIMEOUT_MS = 75000;

// Sends a line once, as line 2 of its own connection. True: do not send it again. At /quit the server closes.
bool trySend(const char *line) {
  WiFiClient client;
  char reply[80];  // The longest is cut.
  size_t length = 0;
  if (!client.connect(HOST, PORT)) return false;
  client.printf("%s\n%s\n/quit\n", FIRST, line);
  for (unsigned long start = millis(); millis() - start < TIMEOUT_MS;) {
    int c = client.read();  // -1: nothing is there.
    if (c < 0 && !client.connected()) break;
    if (c < 0) { delay(1); continue; }
    if (c != '\n') { if (length < sizeof reply - 1) reply[length++] = c; continue; }
    reply[length] = '\0';
    length = 0;
    Serial.println(reply);  // A NAK too: it says why, and may not be the answer at another try.
    if (strncmp(reply, "ACK 2 ", 6) == 0 || strncmp(reply, "NAK 2 handler-", 14) == 0) return true;
  }
  return false;
}

void setup() {
  Serial.begin(115200);
  WiFi.begin(SSID, PASSWORD);  // It takes some seconds, and connects again by itself.
}
void loop() {
  char line[32];
  snprintf(line, sizeof line, "/4 reading %d", analogRead(34));
  while (!trySend(line)) delay(1000);
  delay(EVERY_MS);
}
