" SPDX-License-Identifier: MIT
let s:lines = []
let s:ticks = 0
function Tick(timer)
  let s:ticks += 1
endfunction
call timer_start(10, 'Tick', {'repeat': 5})
while s:ticks < 5
  sleep 10m
endwhile
call add(s:lines, 'ticks: ' .. s:ticks)
call setline(1, map(range(1, 500), {_, n -> 'line ' .. n .. ' has ' .. n * n}))
for s:n in range(1, 200)
  call cursor(1, 1)
  call add(s:lines, string(searchpos('has ' .. s:n * s:n .. '$', 'n', 0, 2000)))
endfor
" One that takes for ever, and ends when its time has passed.
call setline(1, repeat('a', 3000))
call cursor(1, 1)
let s:begin = reltime()
call add(s:lines, string(searchpos('\v(a|aa)+(a|aa)+(a|aa)+$b', 'n', 0, 100)))
call add(s:lines, reltimefloat(reltime(s:begin)) < 30 ? 'given up' : 'too late')
call writefile(s:lines, 'result')
qall!
