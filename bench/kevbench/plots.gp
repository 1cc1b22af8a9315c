# SPDX-License-Identifier: MIT
#
# gnuplot -e "data='build/bench'" bench/kevbench/plots.gp
# draws what kevbench --output_dir has written there; what was not measured is not there.

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

there(name) = system("test -s '".data."/".name.".tsv' && echo yes") eq "yes"

set logscale xy
set format x "%.0s%c"
set xlabel "live timers"
set ylabel "CPU time, ns"

if (there("cost-re-arm")) {
  set output data."/re-arm.svg"
  set title "a random timer is set again"
  plot for [i=2:columns] data."/cost-re-arm.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor rgb color(i)
}

if (there("cost-arm-cancel")) {
  set output data."/arm-cancel.svg"
  set title "set and disarmed: the timeout that never fires"
  plot for [i=2:columns] data."/cost-arm-cancel.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor rgb color(i)
}

set xlabel "timers"
if (there("cost-create-delete")) {
  set output data."/create-delete.svg"
  set title "created and deleted"
  plot for [i=2:columns] data."/cost-create-delete.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor rgb color(i)
}

unset logscale x
set format x "%g"
set xrange [0:100]
set xlabel "of expirations, %"
set ylabel "are no later than, µs"

if (there("lateness-wake-up")) {
  set output data."/wake-up.svg"
  set title "one timer, 200 µs ahead: lateness"
  plot for [i=2:columns] data."/lateness-wake-up.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor rgb color(i)
}

if (there("lateness-expire")) {
  set output data."/expire.svg"
  set title "10 000 deadlines in a second: lateness"
  plot for [i=2:columns] data."/lateness-expire.tsv" using 1:i title columnheader(i) linewidth width(i) linecolor rgb color(i)
}

# The picture: bars, shorter is better, each panel with a scale of its own.
reset
set datafile separator "\t"
array titles[4] = ["set a timer again (10 000 live)", "set and cancel (10 000 live)", \
                   "create and delete (10 000)", "tick at 1 kHz (1 000 timers)"]
array most[4]
do for [i=1:4] {
  stats data."/summary.tsv" index i - 1 using 3 nooutput
  most[i] = STATS_max > 0 ? STATS_max : 1
}
set output data."/summary.svg"
set terminal svg size 860,440 font "sans-serif,13" background "#ffffff" noenhanced
set multiplot layout 2,2 title "CPU time of one operation (shorter is better)" font ",16" offset 0,-0.2
set lmargin 20
set rmargin 9
set tmargin 3
set bmargin 0.6
unset key
unset border
unset xtics
set ytics scale 0 nomirror
set yrange [4.6:-0.6]
set style fill solid noborder
do for [i=1:4] {
  set xrange [0:most[i]]
  set title titles[i] font ",14" offset -6,-0.5
  plot data."/summary.tsv" index i - 1 \
         using (0):1:(0):3:($1 - 0.36):($1 + 0.36):(int(strcol(5))):ytic(2) \
         with boxxyerror linecolor rgb variable, \
       data."/summary.tsv" index i - 1 using 3:1:4 with labels left offset 0.5,0
}
unset multiplot
