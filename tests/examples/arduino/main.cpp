// What Arduino puts around a sketch.
#include "WiFi.h"
#include SKETCH

int main() {
  setup();
  for (;;) loop();
}
