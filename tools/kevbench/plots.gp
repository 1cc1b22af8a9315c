# SPDX-License-Identifier: MIT
#
# gnuplot -e "data='build/bench'" tools/kevbench/plots.gp
# draws what kevbench --output_dir has written there.

set terminal svg size 860,520 font "sans-serif,13" background "#ffffff"
set datafile separator "\t"
set datafile missing "NaN"
set grid linecolor "#dddddd"
set key outside right top
set style data linespoints
set pointsize 0.6
columns = 13
width(i) = i == 2 ? 3 : 1.3

set logscale xy
set format x "10^{%T}"
set xlabel "live timers"
set ylabel "CPU time, ns"

set output data."/re-arm.svg"
set title "a random timer is set again"
plot for [i=2:columns] data."/cost-re-arm.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor i

set output data."/arm-cancel.svg"
set title "set and disarmed: the timeout that never fires"
plot for [i=2:columns] data."/cost-arm-cancel.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor i

set output data."/create-delete.svg"
set title "created and deleted"
set xlabel "timers"
plot for [i=2:columns] data."/cost-create-delete.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor i

unset logscale x
set format x "%g"
set xrange [0:100]
set xlabel "of expirations, %"
set ylabel "are no later than, µs"

set output data."/wake-up.svg"
set title "one timer, 200 µs ahead: lateness"
plot for [i=2:columns] data."/lateness-wake-up.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor i

set output data."/expire.svg"
set title "10 000 deadlines in a second: lateness"
plot for [i=2:columns] data."/lateness-expire.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor i
