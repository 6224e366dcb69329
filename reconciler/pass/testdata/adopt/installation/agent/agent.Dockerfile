FROM recorded/agent:1
COPY greeting.txt /greeting.txt
ENV BUILT=yes
