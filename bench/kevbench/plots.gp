# SPDX-License-Identifier: MIT
#
# gnuplot -e "data='build/bench'" bench/kevbench/plots.gp
# draws what kevbench --output_dir has written there.

set terminal svg size 860,520 font "sans-serif,13" background "#ffffff" noenhanced
set datafile separator "\t"
set datafile missing "NaN"
set grid linecolor "#dddddd"
set key outside right top
set style data linespoints
set pointsize 0.6
columns = 14
# One colour each: libkevent's stand out, the kernel's are warm, the others' cold.
color(i) = int(word("0 0x000000 0x888888 0xe69f00 0xb8860b 0xd55e00 0xcc3311 0xcc79a7 0x882255 " . \
                    "0x0072b2 0x56b4e9 0x009e73 0x44aa99 0x332288", i))
width(i) = i == 2 ? 3 : 1.3

set logscale xy
set format x "%.0s%c"
set xlabel "live timers"
set ylabel "CPU time, ns"

set output data."/re-arm.svg"
set title "a random timer is set again"
plot for [i=2:columns] data."/cost-re-arm.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor rgb color(i)

set output data."/arm-cancel.svg"
set title "set and disarmed: the timeout that never fires"
plot for [i=2:columns] data."/cost-arm-cancel.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor rgb color(i)

set output data."/create-delete.svg"
set title "created and deleted"
set xlabel "timers"
plot for [i=2:columns] data."/cost-create-delete.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor rgb color(i)

unset logscale x
set format x "%g"
set xrange [0:100]
set xlabel "of expirations, %"
set ylabel "are no later than, µs"

set output data."/wake-up.svg"
set title "one timer, 200 µs ahead: lateness"
plot for [i=2:columns] data."/lateness-wake-up.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor rgb color(i)

set output data."/expire.svg"
set title "10 000 deadlines in a second: lateness"
plot for [i=2:columns] data."/lateness-expire.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor rgb color(i)
