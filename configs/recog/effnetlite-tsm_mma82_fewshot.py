_base_ = 'effnetlite-tsm_mma82_indomain.py'
protocol = dict(_delete_=True, name='fewshot')
