                    /* What the least weight would give: packed weights are counted from it. */
                    ACC_T least = 0;
                    for (ky = ky0; ky < ky1; ky++) {
                        for (kx = kx0; kx < kx1; kx++) {
                            least = TOTAL(least, x + ((iy + ky * p->dy) * p->w + ix + kx * p->dx) * p->c, in);
                        }
                    }
                    least *= LEAST_WEIGHT;
