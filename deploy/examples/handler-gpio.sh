#!/bin/sh
# Sets a GPIO line for some time when a message asks for it, such as the line of a door opener or of a bell.
# Needs: gpioset of libgpiod 2 (Debian 13), the right to open the chip (group gpio), and a server with --handle.
#
#   firstline handle --each --min 7 raspberrypi -- ./handler-gpio.sh
#   firstline send --high raspberrypi "open the gate"         prints: 17 = line 17 was active for 500ms
#
# gpioset holds the line and then lets it go; if it is ended before, the kernel lets it go. CHIP=gpiochip4 on a Pi 5.
IFS= read -r text
case $text in
"open the gate") line=17 period=500ms ;;
"ring the bell") line=27 period=2s ;;
*)
    echo "not understood; there are: open the gate, ring the bell"
    exit 1
    ;;
esac
# What gpioset complains about is the answer.
gpioset --chip "${CHIP:-gpiochip0}" --hold-period "$period" --toggle 0 "$line=active" 2>&1 || exit 1
echo "line $line was active for $period"
